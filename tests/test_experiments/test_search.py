import pytest
from mmengine.config import Config

from mmdet_frn.experiments import search as module
from mmdet_frn.experiments.results import read_rows
from mmdet_frn.experiments.search import best_rates, rows_by_rate, search, write_with_rates
from mmdet_frn.utils.errors import UsageError

APS = {
    ('BN', 0.001): (0.30, 0.40),
    ('BN', 0.002): (0.38, 0.34),
    ('GN', 0.001): (0.20, 0.20),
    ('GN', 0.002): (0.21, None),
}


@pytest.fixture
def runs(make_run):
    return [
        make_run(norm, 2, rate, seed=seed, ap=ap)
        for (norm, rate), aps in APS.items()
        for seed, ap in enumerate(aps)
    ]


def test_each_config_gets_the_rate_of_its_best_mean(runs):
    rows = read_rows(runs)
    assert rows_by_rate(rows) == [
        ['Norm', '0.001', '0.002'],
        ['BN', '35.0 ± 7.1', '36.0 ± 2.8'],
        ['GN', '20.0 ± 0.0', '21.0'],
    ]
    assert best_rates(rows) == {'bn': 0.002, 'gn': 0.002}
    assert best_rates(rows[:2]) == {'bn': 0.001}


def test_a_search_with_a_failed_run_decides_nothing(runs, monkeypatch, capsys):
    monkeypatch.setattr(module, 'train', lambda runs, jobs: 1)
    with pytest.raises(UsageError, match='1 runs of the search have no result; run this again'):
        search(runs)
    assert 'BN' in capsys.readouterr().out
    monkeypatch.setattr(module, 'train', lambda runs, jobs: 0)
    assert search(runs) == {'bn': 0.002, 'gn': 0.002}


def test_a_config_is_written_with_its_rate_and_nothing_else(tmp_path):
    config = tmp_path / 'bn.py'
    config.write_text("optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.001))\nx = 1\n")
    (path,) = write_with_rates([config], {'bn': 0.002}, tmp_path / 'out')
    expected = Config.fromfile(config)
    expected.optim_wrapper.optimizer.lr = 0.002
    assert Config.fromfile(path).to_dict() == expected.to_dict()
    (path,) = write_with_rates([config], {}, tmp_path / 'out')
    assert Config.fromfile(path).to_dict() == Config.fromfile(config).to_dict()
