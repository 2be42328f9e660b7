#include "common/picture/style.h"

namespace espalier {

const char* PictureStyle() {
  return R"css(
:root{color-scheme:light dark;--page:#f6f7f5;--card:#fff;--ink:#1c211d;--soft:#5d675f;--line:#dfe4df;--faint:#eef1ee;
--leaf:#2f7d4f;--wood:#a0642b;--blue:#2c6fb3;--red:#b3372c;--plum:#7a4fa3}
@media (prefers-color-scheme:dark){:root{--page:#141715;--card:#1d211e;--ink:#e7ebe7;--soft:#98a39a;--line:#333a35;
--faint:#262b27;--leaf:#5fbf86;--wood:#d99a5b;--blue:#6fb1ee;--red:#ef8379;--plum:#b793dd}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:960px;margin:0 auto;padding:28px 20px 60px}
a{color:var(--leaf);text-decoration:none}a:hover{text-decoration:underline}
h1{font-size:26px;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}h2{font-size:17px;margin:0 0 12px}
h3{font-size:14px;font-weight:500;margin:18px 0 8px;color:var(--soft);overflow-wrap:anywhere}
p.lead{color:var(--soft);margin:0 0 20px;overflow-wrap:anywhere}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:20px;margin:0 0 18px}
.scroll{overflow-x:auto;background:linear-gradient(to right,var(--card) 30%,transparent) 0 0/40px 100% no-repeat local,
linear-gradient(to left,var(--card) 30%,transparent) 100% 0/40px 100% no-repeat local,
linear-gradient(to right,var(--line),transparent) 0 0/14px 100% no-repeat,
linear-gradient(to left,var(--line),transparent) 100% 0/14px 100% no-repeat}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin:0 0 18px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 12px}
.tile b{display:block;font-size:19px;line-height:1.4;font-weight:600}.tile span{color:var(--soft);font-size:13px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:6px 10px;border-bottom:1px solid var(--line);white-space:nowrap}
tr:last-child td{border-bottom:0}
th:first-child,td:first-child,th.text,td.text{text-align:left}th{color:var(--soft);font-weight:500;font-size:13px}
td.wrap{white-space:normal;overflow-wrap:anywhere;min-width:14em}td.words{white-space:normal}
td bdi{display:inline-block;max-width:20em;white-space:normal;overflow-wrap:anywhere}
td.name a bdi{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;overflow:hidden;min-width:7em}
td.name .sub,td.name .sub bdi{white-space:nowrap}
tr.result td{font-weight:600}tr.out td{color:var(--soft)}
svg{display:block;width:100%;height:auto}svg.mask{max-width:none}svg.ranks{min-width:720px}
svg text{font:12px system-ui,sans-serif;fill:var(--soft)}svg text.label{fill:var(--ink)}
svg text.on{fill:var(--card)}svg text.off{fill:var(--ink)}svg text.mid{fill:#121a14}.grid{stroke:var(--line)}
polyline{fill:none;stroke-width:2;stroke-linejoin:round}
polyline.fitness{stroke:var(--leaf)}circle.fitness{fill:var(--leaf)}
polyline.oneshot{stroke:var(--blue);stroke-dasharray:5 4}circle.oneshot{fill:var(--blue)}
polyline.second{stroke:var(--wood)}circle.second{fill:var(--wood)}
polyline.agreement{stroke:var(--plum)}circle.agreement{fill:var(--plum)}
polyline.other{stroke:var(--soft);stroke-width:1.2;opacity:.55}circle.other{fill:var(--soft)}
polyline.winner{stroke:var(--leaf);stroke-width:3}circle.winner{fill:var(--leaf)}
.error{stroke:var(--soft);fill:none;opacity:.75}.band{fill:var(--soft);opacity:.25}rect.attention{fill:var(--leaf)}rect.ffn{fill:var(--wood)}
.gone rect{fill:none;stroke:var(--soft);stroke-dasharray:3 3}.gone path{stroke:var(--soft)}
rect.same{fill:var(--faint)}rect.gain{fill:var(--leaf)}rect.loss{fill:var(--red)}
.legend{color:var(--soft);font-size:13px;margin:10px 0 0;overflow-wrap:anywhere}
.key{display:inline-block;width:18px;height:3px;vertical-align:middle;margin:0 6px 0 0}
.key.square{width:12px;height:12px;border-radius:3px}
details{margin:10px 0 6px}summary{cursor:pointer;color:var(--soft)}
pre{overflow-x:auto;font-size:12px;line-height:1.4}code{font-size:13px;overflow-wrap:anywhere}
)css";
}

}  // namespace espalier
