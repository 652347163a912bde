"""The Grafana dashboards of the bridge, as code: `python -m letta_dashboards FOLDER` writes them as JSON.

A dashboard is rows of panels (`fleet`, `agent`, `model`, `bridge_itself`); `panels` draws, `metrics` selects series,
`traces` links to the spans behind them, in Tempo or in Jaeger. The same code always gives the same bytes.
"""
