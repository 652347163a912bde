# What people do here; `just` lists it. The commands need the environment of CONTRIBUTING.md on the PATH.

_default:
    @just --list

# the ordinary tests; no server, no browser, nothing killed
test *arguments:
    pytest -n 4 {{ arguments }}

# everything broken on purpose, for twenty minutes or so; writes the table of docs/torture.md
torture *arguments:
    TORTURE=full pytest -n 2 --timeout 600 tests/torture tests/faults tests/ledger tests/commands --torture-table docs/torture.md {{ arguments }}

# the same at every point there is, for some hours
torture-every *arguments:
    TORTURE=every pytest -n 2 --timeout 600 tests/torture tests/faults tests/ledger tests/commands --torture-table docs/torture.md {{ arguments }}

# everything a change must pass before it is shown
lint:
    ruff check .
    ruff format --check .
    mypy
    lint-imports
    deptry .

# against a real Letta server and real receivers; `lab` is the folder with lab.sh
real lab:
    LETTA_LAB={{ lab }} pytest tests/real

# requirements.lock from pyproject.toml; `just lock --upgrade` for newer versions
lock *arguments:
    .ci/lock {{ arguments }}

# traces in a browser, without a server
demo:
    bridge demo

# what the bridge costs, as ratios within one run: docs/benchmarks.md
bench *arguments:
    python -m benchmarks {{ arguments }}

# all that runs before a change is taken
ci:
    .ci/run

# the pages of docs/ as a site, into a folder
docs folder="dist/site":
    .ci/docs {{ folder }}

# the JSON of deploy/grafana from its code
dashboards:
    PYTHONPATH=deploy/grafana python -m letta_dashboards deploy/grafana/dashboards
