#include "coordinator/http/routes.h"

#include "common/base/strings.h"
#include "common/security/redact.h"
#include "coordinator/http/page_routes.h"

namespace espalier {

HttpRouter MakeRouter(Coordinator* coordinator, Metrics* metrics, const Clock* clock, const StateDisk* disk) {
  HttpRouter router;
  router.open = {"/healthz", "/readyz"};
  // Alive: this thread answers. Ready: the store can be written and has room, so that work can go on.
  router.exact["/healthz"] = [](const std::string&) { return HttpResponse{.body = "ok\n"}; };
  router.exact["/readyz"] = [coordinator, disk](const std::string&) {
    absl::Status status = coordinator->Fatal();
    if (status.ok() && disk != nullptr) status = disk->CheckRoom();
    if (status.ok()) return HttpResponse{.body = "ok\n"};
    return HttpResponse{.status = 503, .body = WithoutPaths(ToStd(status.message())) + "\n"};
  };
  router.exact["/metrics"] = [coordinator, metrics, clock](const std::string&) {
    HttpResponse response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = metrics->Text(coordinator->Snapshot(clock->Now()));
    return response;
  };
  AddPages(&router, coordinator, clock);
  return router;
}

}  // namespace espalier
