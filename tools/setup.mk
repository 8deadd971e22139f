# The steps of `make setup`, in an order that matters: mmcv is compiled against the torch that is there.
# A finished step leaves a file in .venv/steps, so a stopped set-up resumes with the step it was in;
# <step>.with says what a step was made with, and changes only when that does.
SHELL := bash -o pipefail
S := .venv/steps
PIP := .venv/bin/python -m pip install -c constraints.txt --no-build-isolation
BASE := $(shell "$(PYTHON)" -c 'import sys; print(sys._base_executable)')
CHECK := "$(BASE)" tools/check_setup.py
CHECK_VENV := .venv/bin/python tools/check_setup.py
export MAX_JOBS ?= $(shell $(CHECK) jobs)

# A setting that is not given stays as it was.
SETTINGS := FORCE_CUDA TORCH_CUDA_ARCH_LIST MMDET_FRN_WITH_OPS
$(foreach s,$(SETTINGS),$(eval $(s) ?= $(shell sed -n 's/^ *$(s)=//p' $(S)/package.with 2>/dev/null)))
$(foreach s,$(SETTINGS),$(if $($(s)),$(eval export $(s))))

pins = $(shell grep -E '^($(1))==' constraints.txt)
# The extra of setup.py whose mm* packages are installed: onedl or openmmlab.
export PACKAGES ?= onedl
MMCV := $(call pins,$(if $(filter onedl,$(PACKAGES)),onedl-)mmcv)
venv.with := $(shell "$(BASE)" -c 'import sys; print("python%d.%d" % sys.version_info[:2])') in $(CURDIR)
TOOLS := $(call pins,pip|setuptools|wheel|ninja|psutil|packaging|numpy)
torch.with := $(call pins,torch|torchvision)
mmcv.with := $(torch.with) $(MMCV) $(FORCE_CUDA) $(TORCH_CUDA_ARCH_LIST)
wheel.with := $(if $(MMCV_WHEEL),$(shell cksum "$(MMCV_WHEEL)"),$(shell cat $(S)/wheel.with 2>/dev/null))
EXTRAS := .[$(PACKAGES),tests]
package.with := $(foreach s,$(SETTINGS),$(s)=$($(s))\n)

# The name of a wheel that pip has kept does not tell how mmcv was built.
REBUILD := --no-cache-dir --force-reinstall --no-deps $(MMCV)
MMCV_SOURCE := $(if $(filter-out 0,$(FORCE_CUDA))$(TORCH_CUDA_ARCH_LIST),$(REBUILD),$(MMCV))
ifneq ($(MMCV_WHEEL),)
MMCV_SOURCE := --force-reinstall --no-deps "$(MMCV_WHEEL)"
endif

# $(call run,title,command): the output is shown and kept.
run = { echo '$(1)' && $(CHECK) mend && $(2); } 2>&1 | tee -a $(S)/setup.log || { echo 'make setup: $(1) failed, \
	the log is $(S)/setup.log. No index: see `pip config list`. No memory: set MAX_JOBS=1. No CUDA_HOME: set it, name \
	a wheel with MMCV_WHEEL, or hide the GPU with CUDA_VISIBLE_DEVICES=. Run the same again to resume' >&2; exit 1; }

# Not $(MAKE) in the recipe, which `make -n` would run.
AGAIN := $(MAKE)
.NOTPARALLEL:
.PHONY: ready FORCE
ready: $(S)/package
	@$(CHECK_VENV) ready || { echo 'make setup: repeating the steps'; rm -f $(S)/torch; \
		.venv/bin/python -m pip --version >/dev/null || rm -f $(S)/venv; \
		$(AGAIN) -f tools/setup.mk $(S)/package && $(CHECK_VENV) ready; }
$(S)/%.with: FORCE
	@mkdir -p $(S)
	@printf '%b\n' '$($*.with)' | cmp -s - $@ || printf '%b\n' '$($*.with)' >$@
$(S)/venv: $(S)/venv.with
	@$(CHECK) venv compiler wheel disk
	@find .venv -mindepth 1 -maxdepth 1 ! -name steps -exec rm -rf {} +
	@$(call run,[1/4] .venv,"$(BASE)" -m venv .venv)
	@touch $@
$(S)/torch: $(S)/venv $(S)/torch.with
	@$(call run,[2/4] package index,.venv/bin/python -m pip index versions --retries 1 torch)
	@$(call run,[2/4] $(torch.with): a download of about 2 GB,$(PIP) $(TOOLS) && $(PIP) $(torch.with))
	@touch $@
$(S)/mmcv: $(S)/torch $(S)/mmcv.with $(S)/wheel.with
	@$(CHECK) compiler wheel
	@$(call run,[3/4] $(MMCV): minutes unless pip has kept it,$(PIP) $(MMCV_SOURCE) && $(PIP) $(MMCV))
	@$(CHECK_VENV) ops || { $(if $(MMCV_WHEEL),exit 1;) \
		$(call run,[3/4] $(MMCV): compiled anew,$(PIP) $(REBUILD)) && $(CHECK_VENV) ops; }
	@touch $@
$(S)/package: $(S)/mmcv $(S)/package.with constraints.txt setup.py pyproject.toml mmdet_frn/version.py \
		$(shell find mmdet_frn/ops/csrc -type f)
	@$(CHECK) compiler
	@$(call run,[4/4] mmdet and test tools and this package with its ops: minutes,$(PIP) -e '$(EXTRAS)')
	@touch $@
