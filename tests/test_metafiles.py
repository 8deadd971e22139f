"""model-index.yml and the metafiles: every config, and no results."""

from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
METAFILES = yaml.safe_load((ROOT / 'model-index.yml').read_text(encoding='utf-8'))['Import']


def read(metafile):
    return yaml.safe_load((ROOT / metafile).read_text(encoding='utf-8'))


def models():
    return [model for metafile in METAFILES for model in read(metafile)['Models']]


def keys(node):
    """Every key in a tree of dicts and lists."""
    if isinstance(node, list):
        return {key for child in node for key in keys(child)}
    if isinstance(node, dict):
        return set(node) | keys(list(node.values()))
    return set()


def test_the_index_imports_every_folders_metafile():
    folders = {path.parent.name for path in ROOT.glob('configs/*/*.py')} - {'_base_'}
    expected = {f'configs/{folder}/metafile.yml' for folder in folders}
    assert set(METAFILES) == expected
    assert len(METAFILES) == len(expected)


@pytest.mark.parametrize('metafile', METAFILES)
def test_a_metafile_names_each_config_of_its_folder_once(metafile):
    content = read(metafile)
    (collection,) = content['Collections']
    assert (ROOT / collection['README']).is_file()
    named = [model['Config'] for model in content['Models']]
    configs = (ROOT / metafile).parent.glob('*-all*.py')
    assert sorted(named) == sorted(path.relative_to(ROOT).as_posix() for path in configs)
    for model in content['Models']:
        assert model['In Collection'] == collection['Name']
        assert model['Name'] == Path(model['Config']).stem


@pytest.mark.parametrize('metafile', METAFILES)
def test_no_results_are_claimed(metafile):
    assert not keys(read(metafile)) & {'Results', 'Metrics', 'Weights'}


@pytest.mark.parametrize('model', models(), ids=lambda model: model['Name'])
def test_the_metadata_is_the_configs(model):
    cfg = Config.fromfile(ROOT / model['Config'])
    assert model['Metadata'] == {
        'Iterations': cfg.train_cfg.max_iters,
        'Batch Size': cfg.auto_scale_lr.base_batch_size,
    }


def test_names_are_unique():
    names = [model['Name'] for model in models()]
    assert len(names) == len(set(names))
