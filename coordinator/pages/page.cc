#include "coordinator/pages/page.h"

#include "absl/strings/str_cat.h"
#include "common/picture/style.h"

namespace espalier {
namespace {

constexpr char kPageStyle[] = R"css(
header{background:var(--card);border-bottom:1px solid var(--line)}
header div{max-width:960px;margin:0 auto;padding:0 20px;display:flex;gap:22px;align-items:center;min-height:52px}
header b{font-size:17px;color:var(--leaf);margin-right:auto}header a{color:var(--soft);padding:14px 0 11px;
border-bottom:3px solid transparent}header a[aria-current]{color:var(--ink);border-color:var(--leaf)}
footer{max-width:960px;margin:0 auto;padding:0 20px 40px;color:var(--soft);font-size:13px}
.badge{display:inline-block;border-radius:20px;padding:1px 10px;font-size:12px;font-weight:500;border:1px solid;
color:var(--soft);white-space:nowrap;vertical-align:middle}
.badge.good{color:var(--leaf)}.badge.busy{color:var(--blue)}.badge.bad{color:var(--red)}.badge.warn{color:var(--wood)}
.meter{display:block;height:6px;border-radius:3px;background:var(--line);overflow:hidden;min-width:70px;margin-top:4px}
.meter i{display:block;height:100%;background:var(--leaf)}
.box{border:1px solid;border-radius:10px;padding:12px 16px;margin:0 0 18px;overflow-wrap:anywhere}
.box.bad{border-color:var(--red)}.box.warn{border-color:var(--wood)}.box b{display:block}.box.bad b{color:var(--red)}
.box.warn b{color:var(--wood)}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(290px,1fr));gap:14px}
.pager{display:flex;gap:18px;margin:12px 0 0;color:var(--soft);font-size:14px;flex-wrap:wrap}
.named{white-space:nowrap;margin-right:14px}.sub{display:block;color:var(--soft);font-size:12px}
.workers{display:flex;flex-wrap:wrap;gap:3px}.workers a{width:13px;height:13px;border-radius:3px;background:var(--line)}
.workers a.busy{background:var(--leaf)}.workers a.bad{background:var(--red)}.workers a.warn{background:var(--wood)}
form{display:flex;gap:12px;flex-wrap:wrap;align-items:end}label{display:block;flex:1 1 220px;color:var(--soft);font-size:13px}
input,button{font:inherit;width:100%;padding:7px 10px;border:1px solid var(--line);border-radius:8px;color:var(--ink);
background:var(--page)}button{width:auto;background:var(--leaf);color:var(--card);border:0;padding:8px 18px}
ul.plain{margin:0;padding:0 0 0 18px}ul.plain li{overflow-wrap:anywhere;margin:0 0 4px}
@media (max-width:640px){main{padding:20px 12px 40px}section{padding:14px}.wide{display:none}th,td{padding:6px 6px}td bdi{max-width:10em}td.wrap{min-width:12em}
td.narrow{white-space:normal}table{font-size:14px}td.name bdi{min-width:5em;max-width:7.5em}
h1{font-size:21px}.tiles{grid-template-columns:repeat(2,1fr);gap:8px}.tile{padding:10px 12px}.tile b{font-size:18px}
header div{gap:16px;padding:0 12px}footer{padding:0 12px 30px}}
)css";

Html NavigationLink(const char* path, const char* name, bool is_current) {
  Attributes attributes = {{"href", path}};
  if (is_current) attributes.push_back({"aria-current", "page"});
  return Element("a", attributes, name);
}

Html HeadOf(const PageFrame& frame) {
  Html head = VoidElement("meta", {{"charset", "utf-8"}});
  head += VoidElement("meta", {{"name", "viewport"}, {"content", "width=device-width,initial-scale=1"}});
  if (frame.refresh_seconds > 0) {
    head += VoidElement("meta", {{"http-equiv", "refresh"}, {"content", frame.refresh_seconds}});
  }
  head += Element("title", {}, frame.title, " - Espalier");
  head += Element("style", {}, Html::FromMarkup(absl::StrCat(PictureStyle(), kPageStyle)));
  return Element("head", {}, head);
}

}  // namespace

std::string PageOf(const PageFrame& frame, const Html& body) {
  Html foot = Element("p", {}, "As of ", absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", frame.now, absl::UTCTimeZone()));
  if (frame.refresh_seconds > 0) {
    foot = Element("p", {}, "As of ", absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", frame.now, absl::UTCTimeZone()),
                   ", read again every ", absl::StrCat(frame.refresh_seconds), " seconds");
  }
  const Html page = Element(
      "html", {{"lang", "en"}}, HeadOf(frame),
      Element("body", {},
              Element("header", {},
                      Element("div", {}, Element("b", {}, "Espalier"),
                              NavigationLink("/jobs", "Jobs", frame.section == PageSection::kJobs),
                              NavigationLink("/workers", "Fleet", frame.section == PageSection::kFleet),
                              NavigationLink("/compare", "Compare", frame.section == PageSection::kCompare))),
              Element("main", {}, body), Element("footer", {}, foot)));
  return absl::StrCat("<!DOCTYPE html>", page.markup(), "\n");
}

}  // namespace espalier
