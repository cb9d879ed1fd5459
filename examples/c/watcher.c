/* Prints every change below a prefix, across restarts of the servers, until it has seen some.
   watcher [ENDPOINTS [PREFIX [HOW MANY]]]   (default: what it writes itself to the store inside the library)
   cc watcher.c $(pkg-config --cflags --libs etcd-api) -o watcher */
#include <etcd-api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES(text) (const uint8_t *)(text), strlen(text)

static void print(const etcd_reply *changes) {
  etcd_kv kv;
  for (size_t i = 0; etcd_reply_kv(changes, i, &kv, sizeof kv) == ETCD_OK; i++) {
    printf("%.*s", (int)kv.key_len, (const char *)kv.key);
    if (kv.kind == ETCD_KV_PUT) printf(" = %.*s", (int)kv.value_len, (const char *)kv.value);
    if (kv.kind == ETCD_KV_DELETE) printf(" is deleted");
    etcd_kv before;
    if (etcd_reply_previous(changes, i, &before, sizeof before) == ETCD_OK)
      printf(" (was %.*s)", (int)before.value_len, (const char *)before.value);
    putchar('\n');
  }
}

int main(int argc, char **argv) {
  const char *prefix = argc > 2 ? argv[2] : "watcher/";
  long wanted = argc > 3 ? atol(argv[3]) : 3;
  etcd_session client = etcd_open_str(argc > 1 ? argv[1] : "mem://demo"); /* both tiers have the same clients */
  etcd_watcher *watcher = NULL;
  etcd_event *event;
  etcd_error *error = NULL;
  etcd_request *watch = etcd_request_watch(BYTES(prefix));
  etcd_request_set_int(watch, ETCD_FIELD_PREFIX, 1);
  etcd_request_set_int(watch, ETCD_FIELD_RETURN_PREVIOUS, 1);
  etcd_status status = etcd_watcher_open(client, watch, 5000, &watcher, &error);
  if (status != ETCD_OK) return fprintf(stderr, "%s\n", etcd_error_message(error)), 1;
  etcd_request_free(watch);

  for (long seen = 0; seen < wanted && (status = etcd_watcher_next(watcher, -1, &event)) == ETCD_OK;) {
    switch (etcd_event_kind(event)) {
    case ETCD_EVENT_CHANGES: /* all of one revision */
      seen += (long)etcd_reply_count(etcd_event_reply(event));
      print(etcd_event_reply(event));
      break;
    case ETCD_EVENT_WATCH_STATE: /* from ETCD_WATCH_LIVE on, nothing is missed */
      if (etcd_event_watch_state(event) == ETCD_WATCH_LIVE && argc < 3) {
        etcd_set(client, "watcher/colour", "green", NULL, 0);
        etcd_set(client, "watcher/colour", "blue", "green", 0);
        etcd_delete(client, "watcher/colour");
      }
      break;
    case ETCD_EVENT_WATCH_END: /* the last event; the next wait fails with ETCD_ERR_CLOSED */
      fprintf(stderr, "%s\n", etcd_error_message(etcd_event_error(event)));
    }
    etcd_event_free(event);
  }
  etcd_watcher_free(watcher);
  etcd_client_close(client, 1000, NULL);
  return status != ETCD_OK;
}
