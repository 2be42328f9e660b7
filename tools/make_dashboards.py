"""Writes deploy/grafana/dashboards/*.json from the descriptions in dashboard_boards.py: python3 tools/make_dashboards.py [FOLDER]

The files are what is imported; they are written from a table because a panel of Grafana's is fifty lines of which four
differ. tests/observability checks that the files are what this writes.
"""

import json
import pathlib
import sys

from dashboard_boards import BOARDS

SCHEMA_VERSION = 39  # Grafana 10.4 and 11
WIDTH = 24
JOBS = "espalier_build_info|espalier_standing_by|espalier_worker_build_info|DCGM_FI_DEV_GPU_UTIL"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def query_variable(name, label, query):
    return {
        "name": name, "label": label, "type": "query", "datasource": DATASOURCE,
        "query": {"query": query, "refId": f"{name}-variable"}, "definition": query,
        "includeAll": True, "allValue": ".+", "multi": True, "refresh": 2, "sort": 1, "hide": 0,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "options": [], "regex": "", "skipUrlSync": False,
    }


def variables(board):
    found = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1, "hide": 0,
         "includeAll": False, "multi": False, "current": {}, "options": [], "regex": "", "skipUrlSync": False},
        query_variable("job", "Job", f'label_values({{__name__=~"{JOBS}"}}, job)'),
        query_variable("instance", "Instance", f'label_values({{__name__=~"{JOBS}", job=~"$job"}}, instance)'),
    ]
    if board["has_search"]:
        found.append(query_variable("search", "Search", 'label_values(espalier_generation{job=~"$job", instance=~"$instance"}, search)'))
    return found


def field_config(panel):
    steps = [{"color": "green", "value": None}]
    for colour, value in panel.get("thresholds", []):
        steps.append({"color": colour, "value": value})
    defaults = {"unit": panel["unit"], "thresholds": {"mode": "absolute", "steps": steps}, "mappings": []}
    if panel["type"] == "timeseries":
        defaults["min"] = panel.get("min")
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": 20 if panel.get("stack") else 5, "showPoints": "auto", "spanNulls": False,
            "stacking": {"mode": "normal" if panel.get("stack") else "none", "group": "A"},
            "scaleDistribution": {"type": "log", "log": 10} if panel.get("log") else {"type": "linear"},
        }
        if defaults["min"] is None:
            del defaults["min"]
    else:
        defaults["color"] = {"mode": "thresholds"}
        defaults["noValue"] = panel.get("no_value", "–")
    return {"defaults": defaults, "overrides": []}


def options(panel):
    kind = panel["type"]
    if kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind == "stat":
        return {"colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    if kind == "heatmap":
        return {"calculate": False, "cellGap": 1, "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange"},
                "yAxis": {"unit": panel["unit"], "axisPlacement": "left"}, "legend": {"show": True}, "tooltip": {"show": True, "yHistogram": False}}
    return {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"], "countRows": False}}


def targets(panel):
    found = []
    for index, (expression, legend) in enumerate(panel["queries"]):
        target = {"datasource": DATASOURCE, "editorMode": "code", "expr": expression, "legendFormat": legend, "range": True, "refId": chr(65 + index)}
        if panel["type"] == "heatmap":
            target["format"] = "heatmap"
        if panel["type"] == "table":
            target.update(format="table", instant=True, range=False)
        found.append(target)
    return found


def make_panel(panel, number, x, y):
    made = {
        "id": number, "type": panel["type"], "title": panel["title"], "description": panel["description"], "datasource": DATASOURCE,
        "gridPos": {"h": panel["height"], "w": panel["width"], "x": x, "y": y}, "fieldConfig": field_config(panel),
        "options": options(panel), "targets": targets(panel),
    }
    if panel["type"] == "table":  # labels as columns, without time and the value that is always 1
        hidden = {"Time": True, "__name__": True, **({"Value": True} if panel.get("hide_value") else {})}
        made["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden, "indexByName": {}, "renameByName": {}}}]
    return made


def make_panels(board):
    made, number, y = [], 0, 0
    for title, panels in board["rows"]:
        number += 1
        made.append({"id": number, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y}})
        y, x, row_height = y + 1, 0, 0
        for panel in panels:
            if x + panel["width"] > WIDTH:
                x, y, row_height = 0, y + row_height, 0
            number += 1
            made.append(make_panel(panel, number, x, y))
            x, row_height = x + panel["width"], max(row_height, panel["height"])
        y += row_height
    return made


def make_board(board):
    epoch = "changes(espalier_leader_epoch{job=~\"$job\", instance=~\"$instance\"}[$__rate_interval]) > 0"
    return {
        "id": None, "uid": board["uid"], "title": board["title"], "description": board["description"], "tags": ["espalier"],
        "schemaVersion": SCHEMA_VERSION, "version": 1, "editable": False, "graphTooltip": 1, "timezone": "browser", "style": "dark",
        "refresh": "30s", "time": {"from": "now-6h", "to": "now"}, "timepicker": {}, "fiscalYearStartMonth": 0, "liveNow": False, "weekStart": "",
        "annotations": {"list": [
            {"builtIn": 1, "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "enable": True, "hide": True,
             "iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "type": "dashboard"},
            {"datasource": DATASOURCE, "enable": True, "expr": epoch, "iconColor": "orange", "name": "Coordinator began", "step": "60s",
             "titleFormat": "A coordinator began to lead"}]},
        "links": [{"type": "dashboards", "tags": ["espalier"], "title": "Espalier", "asDropdown": False, "icon": "external link",
                   "includeVars": True, "keepTime": True, "targetBlank": False, "tooltip": "", "url": ""}],
        "templating": {"list": variables(board)},
        "panels": make_panels(board),
    }


def write_all(folder):
    for board in BOARDS:
        path = pathlib.Path(folder) / (board["uid"].removeprefix("espalier-") + ".json")
        path.write_text(json.dumps(make_board(board), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_all(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[1] / "deploy" / "grafana" / "dashboards")
