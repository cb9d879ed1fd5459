/* Takes part in a lock or an election, for tests that others queue with it.

     participant SERVERS lock NAME [queue]
     participant SERVERS campaign NAME VALUE [queue]
     participant SERVERS observe NAME

   Prints "held TOKEN KEY" when it holds. SIGINT releases ("released"), SIGUSR1 proclaims "VALUE again" ("proclaimed"). An
   observer prints "leader KEY VALUE" or "nobody". queue: by events of a queue instead of a call that waits. */
#include <etcd-api.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES(text) (const uint8_t *)(text), strlen(text)
enum { TTL = 2, TAG = 1 }; /* how long it outlives its end, in seconds */

static etcd_client *client;
static etcd_queue *queue;

static void check(etcd_status status, etcd_error *const *error, const char *what) {
  if (status != ETCD_OK) {
    fprintf(stderr, "%s: %s: %s\n", what, etcd_status_name(status), error ? etcd_error_message(*error) : "");
    exit(1);
  }
}

static void call(etcd_request *request, const char *what) {
  etcd_error *error = NULL;
  check(etcd_call(client, request, 10000, NULL, NULL, &error), &error, what);
  etcd_request_free(request);
}

static etcd_event *next(int kind) {
  etcd_event *event = NULL;
  check(etcd_queue_next(queue, -1, &event), NULL, "etcd_queue_next");
  etcd_error *error = (etcd_error *)etcd_event_error(event);
  check(etcd_event_status(event), &error, "an event");
  if (etcd_event_kind(event) != kind) {
    fprintf(stderr, "an event of kind %d instead of %d\n", (int)etcd_event_kind(event), kind);
    exit(1);
  }
  return event;
}

static void submit(etcd_request *request) {
  etcd_error *error = NULL;
  check(etcd_queue_new(0, &queue, &error), &error, "etcd_queue_new");
  check(etcd_submit(client, queue, request, TAG, -1, &error), &error, "etcd_submit");
  etcd_request_free(request);
}

static void observe(const char *name) {
  submit(etcd_request_observe(BYTES(name)));
  for (;;) {
    etcd_event *event = next(ETCD_EVENT_LEADER);
    etcd_kv kv;
    if (etcd_reply_kv(etcd_event_reply(event), 0, &kv, sizeof kv) == ETCD_OK) {
      printf("leader %.*s %.*s\n", (int)kv.key_len, (const char *)kv.key, (int)kv.value_len, (const char *)kv.value);
    } else {
      puts("nobody");
    }
    etcd_event_free(event);
  }
}

static etcd_hold *acquire(etcd_request *request, int queued) {
  etcd_hold *hold = NULL;
  etcd_error *error = NULL;
  etcd_request_set_int(request, ETCD_FIELD_TTL, TTL);
  if (!queued) {
    check(etcd_acquire(client, request, -1, NULL, &hold, &error), &error, "etcd_acquire");
    etcd_request_free(request);
    return hold;
  }
  submit(request);
  etcd_event *event = next(ETCD_EVENT_ACQUIRED);
  check(etcd_queue_take_hold(queue, TAG, &hold), NULL, "etcd_queue_take_hold");
  if (etcd_event_revision(event) != etcd_hold_token(hold) || etcd_event_is_last(event)) {
    fputs("an event that does not fit its hold\n", stderr);
    exit(1);
  }
  etcd_event_free(event);
  return hold;
}

/* What it is told meanwhile waits until then. */
static void serve(etcd_hold *hold, const sigset_t *signals, const char *value, int queued) {
  for (int number = 0; sigwait(signals, &number) == 0 && number == SIGUSR1;) {
    char again[256];
    snprintf(again, sizeof again, "%s again", value);
    call(etcd_request_proclaim(hold, BYTES(again)), "proclaim");
    puts("proclaimed");
  }
  call(etcd_request_release(hold), "release");
  if (queued) {
    etcd_event *event = next(ETCD_EVENT_REPLY);
    if (!etcd_event_is_last(event)) {
      exit(1);
    }
    etcd_event_free(event);
  }
  puts("released");
}

int main(int argc, char **argv) {
  const char *what = argc > 3 ? argv[2] : "";
  int campaigns = strcmp(what, "campaign") == 0, queued = argc > 4 && strcmp(argv[argc - 1], "queue") == 0;
  sigset_t signals;
  sigemptyset(&signals), sigaddset(&signals, SIGINT), sigaddset(&signals, SIGUSR1);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  if ((!campaigns || argc < 5) && strcmp(what, "lock") != 0 && strcmp(what, "observe") != 0) {
    fputs("usage: participant SERVERS lock|campaign|observe NAME [VALUE] [queue]\n", stderr);
    return 2;
  }
  client = etcd_open_str(argv[1]);
  if (strcmp(what, "observe") == 0) {
    observe(argv[3]);
  }
  const char *value = campaigns ? argv[4] : "a lock";
  etcd_request *request = campaigns ? etcd_request_campaign(BYTES(argv[3]), BYTES(value)) : etcd_request_lock(BYTES(argv[3]));
  etcd_hold *hold = acquire(request, queued);
  uint8_t key[1024];
  size_t len = 0;
  check(etcd_hold_key(hold, key, sizeof key, &len), NULL, "etcd_hold_key");
  printf("held %lld %.*s\n", (long long)etcd_hold_token(hold), (int)len, (const char *)key);
  serve(hold, &signals, value, queued);
  etcd_hold_free(hold), etcd_queue_free(queue);
  return etcd_client_close(client, 5000, NULL) != ETCD_OK;
}
