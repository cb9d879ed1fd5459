/* What the functions of the full tier do with arguments that can't be right.   bad_input SERVERS
   Every function has a row in a table that says what it takes; each of these things is then replaced by what it must
   not be, one at a time, in this process and in a forked child. The status is the documented one, details and outputs
   are always written, and nothing crashes.   bad_input functions: prints the names of the rows, for a test that
   compares them with the header's. */
#include <etcd-api.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C"
#endif
etcd_status etcd_test_panic(etcd_error **err); /* exported for this test, not in the header */

static int checks;
static const char *function = "", *with = "";

static void check(int ok, const char *what, int line, etcd_status got) {
  checks++;
  if (!ok) {
    fprintf(stderr, "%s:%d: %s with %s: %s  [got %s]\n", __FILE__, line, function, with, what, etcd_status_name(got));
    _exit(1);
  }
}
#define CHECK(expression) check((expression) != 0, #expression, __LINE__, 0)
#define IS(status, call) is((status), (call), #call " is " #status, __LINE__)

static void is(etcd_status wanted, etcd_status got, const char *what, int line) {
  check(got == wanted, what, line, got);
}

/* ---- what there is to be confused with what ---- */

enum kind { NONE, CLIENT, QUEUE, CANCEL, WATCHER, PAGES, HOLD, OPTIONS, REQUEST, REPLY, EVENT, ERROR, KINDS };
static const char *const kinds[] = {"nothing", "a client",  "a queue", "a cancel handle", "a watcher", "pages",
                                    "a hold",  "options",   "a request", "a reply",       "an event",  "an error"};
enum { NUMBERS = OPTIONS }; /* before this they are numbers, from here on memory */

static void *good[KINDS], *freed[NUMBERS], *inherited[KINDS];
static uint64_t last_tag;
static const char *servers;

static const uint8_t *bytes(const char *text) {
  return (const uint8_t *)text;
}

static etcd_request *get_of(const char *key) {
  return etcd_request_get(bytes(key), strlen(key));
}

static etcd_client *open_client(void) {
  etcd_options *options = etcd_options_new();
  etcd_client *client = NULL;
  IS(ETCD_OK, etcd_options_set(options, "endpoints", servers, NULL));
  IS(ETCD_OK, etcd_client_open(options, &client, NULL));
  etcd_options_free(options);
  return client;
}

/* Takes a lock that nobody else has. */
static etcd_hold *hold_of(etcd_client *client, const char *name) {
  etcd_request *lock = etcd_request_lock(bytes(name), strlen(name));
  etcd_hold *hold = NULL;
  IS(ETCD_OK, etcd_acquire(client, lock, 10000, NULL, &hold, NULL));
  CHECK(etcd_hold_token(hold) > 0 && etcd_hold_is_held(hold) && etcd_hold_remaining_ms(hold) > 0);
  etcd_request_free(lock);
  return hold;
}

static void make(void **things) {
  etcd_client *client = open_client();
  etcd_queue *queue = NULL;
  etcd_watcher *watcher = NULL;
  etcd_pages *pages = NULL;
  etcd_reply *reply = NULL;
  etcd_event *event = NULL;
  etcd_error *error = NULL;
  etcd_request *watch = etcd_request_watch(bytes("quiet"), 5), *get = get_of("k"), *put = etcd_request_put(bytes("k"), 1, bytes("v"), 1);
  IS(ETCD_OK, etcd_call(client, put, -1, NULL, NULL, NULL));
  IS(ETCD_OK, etcd_queue_new(0, &queue, NULL));
  IS(ETCD_OK, etcd_watcher_open(client, watch, -1, &watcher, NULL));
  IS(ETCD_OK, etcd_watcher_next(watcher, 10000, &event)); /* that it is live; nothing else comes */
  IS(ETCD_OK, etcd_pages_open(client, get, &pages, NULL));
  IS(ETCD_OK, etcd_call(client, get, -1, NULL, &reply, NULL));
  IS(ETCD_ERR_INVALID_ARGUMENT, etcd_call(NULL, get, -1, NULL, NULL, &error));
  etcd_request_free(watch);
  etcd_request_free(put);
  things[CLIENT] = client, things[QUEUE] = queue, things[CANCEL] = etcd_cancel_new(), things[WATCHER] = watcher;
  things[PAGES] = pages, things[OPTIONS] = etcd_options_new(), things[REQUEST] = get, things[REPLY] = reply;
  things[EVENT] = event, things[ERROR] = error, things[HOLD] = hold_of(client, "held");
}

static void free_all(void **things) {
  etcd_client_close((etcd_client *)things[CLIENT], 10000, NULL); /* waits for its threads: they look like leaks */
  etcd_client_free((etcd_client *)things[CLIENT]);
  etcd_queue_free((etcd_queue *)things[QUEUE]);
  etcd_cancel_free((etcd_cancel *)things[CANCEL]);
  etcd_watcher_free((etcd_watcher *)things[WATCHER]);
  etcd_pages_free((etcd_pages *)things[PAGES]);
  etcd_hold_free((etcd_hold *)things[HOLD]);
  etcd_options_free((etcd_options *)things[OPTIONS]);
  etcd_request_free((etcd_request *)things[REQUEST]);
  etcd_reply_free((etcd_reply *)things[REPLY]);
  etcd_event_free((etcd_event *)things[EVENT]);
  etcd_error_free((etcd_error *)things[ERROR]);
}

static void make_all(void) {
  make(good);
  memcpy(freed, good, sizeof freed);
  free_all(good);
  make(good);
}

/* ---- what a function is called with ---- */

enum { OUT = 1, ERR = 2, DATA = 4, MORE = 8 }; /* pointers that are no handles */

typedef struct args {
  void *h[3];         /* handles and values */
  unsigned nulls;     /* pointers that are NULL */
  const char *data;   /* bytes, or a string */
  size_t len;         /* how many, or an index */
  int32_t number;     /* a field, level, counter */
  int64_t wide;       /* a timeout, revision, lease */
} args;

#define H(at, type) ((struct type *)a->h[at])
#define P(bit, pointer) (a->nulls & (bit) ? NULL : (pointer))
#define BYTES P(DATA, bytes(a->data)), a->len

static char poison[64];
#define LEFT_OVER(type) ((struct type *)(void *)poison)

/* Details are there if it failed, and only then. */
static etcd_status told(const args *a, etcd_status status, etcd_error *err) {
  if (a->nulls & ERR) {
    CHECK(err == LEFT_OVER(etcd_error));
    return status;
  }
  if (status == ETCD_OK) {
    CHECK(err == NULL);
  } else {
    CHECK(err != NULL && err != LEFT_OVER(etcd_error) && etcd_error_code(err) == status && *etcd_error_message(err));
    etcd_error_free(err);
  }
  return status;
}

/* What was made is there if it succeeded, and only then. */
static etcd_status made(const args *a, etcd_status status, const void *out) {
  if (a->nulls & OUT) {
    CHECK(out == poison);
  } else if (status == ETCD_OK) {
    CHECK(out != NULL && out != poison);
  } else {
    CHECK(out == NULL);
  }
  return status;
}
#define TOLD(call) (err = LEFT_OVER(etcd_error), status = (call), told(a, status, err))
#define MADE(call) ((void)(call), made(a, status, out))
#define ERRP P(ERR, &err)
#define STATUS etcd_error *err; etcd_status status

/* ---- one wrapper for each function. Those that return no status return ETCD_OK if they did as documented. ---- */

#define RUN(name) static etcd_status run_##name(const args *a)
/* Nothing to see there, nothing done. */
#define QUIET(name, nothing) RUN(name) { CHECK(nothing); return ETCD_OK; }

static void ignore(const args *a) {
  (void)a;
}

RUN(etcd_version) { ignore(a); CHECK(*etcd_version()); return ETCD_OK; }
RUN(etcd_version_check) { return etcd_version_check(a->number ? a->number : ETCD_API_VERSION); }
RUN(etcd_has) { return etcd_has(P(DATA, a->data)) ? ETCD_ERR_INVALID_ARGUMENT : ETCD_OK; }
RUN(etcd_status_name) { CHECK(!a->number == !!strcmp(etcd_status_name(a->number), "ETCD_ERR_?")); return ETCD_OK; }

static int lines, frees;
static void take_line(void *data, int32_t level, const char *line) {
  CHECK(data == &lines && level >= ETCD_LOG_ERROR && level <= ETCD_LOG_DEBUG && strlen(line) > 0);
  lines++;
}
static void free_data(void *data) {
  CHECK(data == &lines);
  frees++;
}
RUN(etcd_log_to) {
  int before = frees;
  etcd_status status = etcd_log_to(take_line, a->number ? a->number : ETCD_LOG_DEBUG, &lines, P(DATA, free_data));
  CHECK(frees == before);
  if (status == ETCD_OK) {
    IS(ETCD_OK, etcd_log_to(NULL, a->number, NULL, NULL));
    CHECK(frees == before + (a->nulls & DATA ? 0 : 1));
  }
  return status;
}

QUIET(etcd_error_code, etcd_error_code(H(0, etcd_error)) == 0)
QUIET(etcd_error_message, etcd_error_message(H(0, etcd_error)) == NULL)
QUIET(etcd_error_endpoint, etcd_error_endpoint(H(0, etcd_error)) == NULL)
QUIET(etcd_error_server_code, etcd_error_server_code(H(0, etcd_error)) == 0)
QUIET(etcd_error_compact_revision, etcd_error_compact_revision(H(0, etcd_error)) == 0)
QUIET(etcd_error_is_retriable, etcd_error_is_retriable(H(0, etcd_error)) == 0)
QUIET(etcd_error_is_outcome_unknown, etcd_error_is_outcome_unknown(H(0, etcd_error)) == 0)
QUIET(etcd_error_free, (etcd_error_free(H(0, etcd_error)), 1))

RUN(etcd_options_new) {
  ignore(a);
  etcd_options *options = etcd_options_new();
  CHECK(options != NULL);
  etcd_options_free(options);
  return ETCD_OK;
}
RUN(etcd_options_set) {
  STATUS;
  return TOLD(etcd_options_set(H(0, etcd_options), P(DATA, "request_timeout_ms"), P(MORE, a->data), ERRP));
}
QUIET(etcd_options_free, (etcd_options_free(H(0, etcd_options)), 1))

RUN(etcd_client_open) {
  STATUS;
  etcd_client *out = LEFT_OVER(etcd_client);
  etcd_options *mine = a->h[0] == good[OPTIONS] ? etcd_options_new() : H(0, etcd_options);
  if (a->h[0] == good[OPTIONS]) {
    IS(ETCD_OK, etcd_options_set(mine, "endpoints", servers, NULL));
  }
  (void)MADE(TOLD(etcd_client_open(mine, P(OUT, &out), ERRP)));
  if (status == ETCD_OK) {
    etcd_client_free(out);
  }
  if (a->h[0] == good[OPTIONS]) {
    etcd_options_free(mine);
  }
  return status;
}
RUN(etcd_client_close) {
  STATUS;
  etcd_client *client = a->h[0] == good[CLIENT] ? open_client() : H(0, etcd_client);
  (void)TOLD(etcd_client_close(client, a->wide, ERRP));
  if (a->h[0] == good[CLIENT]) { /* whatever it said */
    IS(ETCD_ERR_CLOSED, etcd_client_close(client, 0, NULL));
    CHECK(etcd_client_counter(client, ETCD_COUNTER_OPEN) == -1);
  }
  return status;
}
QUIET(etcd_client_free, (etcd_client_free(H(0, etcd_client)), 1))
QUIET(etcd_client_counter, etcd_client_counter(H(0, etcd_client), a->number ? a->number : ETCD_COUNTER_OPEN) == -1)
RUN(etcd_cancel_new) {
  ignore(a);
  etcd_cancel *cancel = etcd_cancel_new();
  CHECK(cancel != NULL);
  etcd_cancel_free(cancel);
  return ETCD_OK;
}
QUIET(etcd_cancel_trigger, (etcd_cancel_trigger(H(0, etcd_cancel)), 1))
QUIET(etcd_cancel_free, (etcd_cancel_free(H(0, etcd_cancel)), 1))
RUN(etcd_call) {
  STATUS;
  etcd_reply *out = LEFT_OVER(etcd_reply);
  (void)MADE(TOLD(etcd_call(H(0, etcd_client), H(1, etcd_request), a->wide, H(2, etcd_cancel), P(OUT, &out), ERRP)));
  if (status == ETCD_OK && !(a->nulls & OUT)) {
    etcd_reply_free(out);
  }
  return status;
}

RUN(etcd_pages_open) {
  STATUS;
  etcd_pages *out = LEFT_OVER(etcd_pages);
  (void)MADE(TOLD(etcd_pages_open(H(0, etcd_client), H(1, etcd_request), P(OUT, &out), ERRP)));
  if (status == ETCD_OK) {
    etcd_pages_free(out);
  }
  return status;
}
RUN(etcd_pages_next) {
  STATUS;
  etcd_reply *out = LEFT_OVER(etcd_reply);
  (void)TOLD(etcd_pages_next(H(0, etcd_pages), a->wide, H(1, etcd_cancel), P(OUT, &out), ERRP));
  if (!(a->nulls & OUT)) { /* there may be no more keys */
    CHECK(out == NULL || (status == ETCD_OK && out != LEFT_OVER(etcd_reply)));
    etcd_reply_free(out);
  }
  return status;
}
QUIET(etcd_pages_free, (etcd_pages_free(H(0, etcd_pages)), 1))

/* A constructor always makes a request; running it tells what is wrong. */
static etcd_status run(etcd_request *request) {
  CHECK(request != NULL);
  args none;
  memset(&none, 0, sizeof none);
  const args *a = &none;
  STATUS;
  (void)TOLD(etcd_call((etcd_client *)good[CLIENT], request, -1, NULL, NULL, &err));
  CHECK(status != ETCD_ERR_PANIC && strcmp(etcd_status_name(status), "ETCD_ERR_?"));
  etcd_request_free(request);
  return status;
}
#define RUNS(name, request) RUN(name) { ignore(a); return run(request); }

RUNS(etcd_request_get, etcd_request_get(BYTES))
RUNS(etcd_request_put, etcd_request_put(BYTES, P(MORE, bytes(a->data)), a->len))
RUNS(etcd_request_delete, etcd_request_delete(BYTES))
RUNS(etcd_request_txn, etcd_request_txn())
RUNS(etcd_request_compact, etcd_request_compact(a->wide))
RUNS(etcd_request_lease_grant, etcd_request_lease_grant(a->wide))
RUNS(etcd_request_lease_revoke, etcd_request_lease_revoke(a->wide))
RUNS(etcd_request_lease_keep_alive, etcd_request_lease_keep_alive(a->wide))
RUNS(etcd_request_lease_ttl, etcd_request_lease_ttl(a->wide))
RUNS(etcd_request_leases, etcd_request_leases())
RUNS(etcd_request_members, etcd_request_members())
RUNS(etcd_request_status, etcd_request_status())
RUNS(etcd_request_sync_members, etcd_request_sync_members())
RUN(etcd_request_alarm) {
  if (a->number) {
    IS(ETCD_ERR_INVALID_ARGUMENT, run(etcd_request_alarm(ETCD_ALARM_LIST, 0, a->number)));
  }
  return run(etcd_request_alarm(a->number, a->wide, ETCD_ALARM_ANY));
}
RUNS(etcd_request_hash, etcd_request_hash(a->wide))
RUNS(etcd_request_authenticate, etcd_request_authenticate(BYTES, P(MORE, bytes(a->data)), a->len))
RUN(etcd_request_watch) { /* to be submitted, not run: what is wrong with it is found first all the same */
  etcd_status status = run(etcd_request_watch(BYTES));
  return status == ETCD_ERR_INVALID_ARGUMENT && !(a->nulls & DATA) ? ETCD_OK : status;
}

/* On a request of their own if it is the good one, which stays as it is. A fault is kept, and told again by the run. */
static etcd_status changed(const args *a, etcd_request *mine, etcd_status status) {
  if (mine != H(0, etcd_request)) {
    IS(status, run(mine));
  }
  return status;
}
#define MINE(constructor) etcd_request *mine = a->h[0] == good[REQUEST] ? (constructor) : H(0, etcd_request)
RUN(etcd_txn_compare_int) {
  MINE(etcd_request_txn());
  if (mine != H(0, etcd_request) && a->number) {
    etcd_request *other = etcd_request_txn();
    IS(ETCD_ERR_INVALID_ARGUMENT, etcd_txn_compare_int(other, bytes("k"), 1, a->number, ETCD_RELATION_EQUAL, 0));
    IS(ETCD_ERR_INVALID_ARGUMENT, run(other));
  }
  return changed(a, mine, etcd_txn_compare_int(mine, BYTES, ETCD_TARGET_VERSION, a->number, a->wide));
}
RUN(etcd_txn_compare_value) {
  MINE(etcd_request_txn());
  return changed(a, mine, etcd_txn_compare_value(mine, BYTES, a->number, P(MORE, bytes(a->data)), a->len));
}
RUN(etcd_txn_then) {
  MINE(etcd_request_txn());
  return changed(a, mine, etcd_txn_then(mine, H(1, etcd_request)));
}
RUN(etcd_txn_else) {
  MINE(etcd_request_txn());
  return changed(a, mine, etcd_txn_else(mine, H(1, etcd_request)));
}
RUN(etcd_request_set_int) {
  MINE(get_of("k"));
  return changed(a, mine, etcd_request_set_int(mine, a->number ? a->number : ETCD_FIELD_LIMIT, 1));
}
RUN(etcd_request_set_bytes) {
  MINE(get_of("k"));
  return changed(a, mine, etcd_request_set_bytes(mine, a->number ? a->number : ETCD_FIELD_RANGE_END, BYTES));
}
QUIET(etcd_request_free, (etcd_request_free(H(0, etcd_request)), 1))

QUIET(etcd_reply_revision, etcd_reply_revision(H(0, etcd_reply)) == 0)
QUIET(etcd_reply_count, etcd_reply_count(H(0, etcd_reply)) == 0)
QUIET(etcd_reply_more, etcd_reply_more(H(0, etcd_reply)) == 0)
QUIET(etcd_reply_succeeded, etcd_reply_succeeded(H(0, etcd_reply)) == 0)
QUIET(etcd_reply_kvs, etcd_reply_kvs(H(0, etcd_reply)) == 0)
static etcd_status filled(const args *a, etcd_status status, const etcd_kv *kv) {
  if (status != ETCD_OK && !(a->nulls & OUT)) {
    CHECK(kv->key == NULL && kv->value == NULL && kv->key_len == 0 && kv->value_len == 0 && kv->mod_revision == 0);
  }
  return status;
}
RUN(etcd_reply_kv) {
  etcd_kv kv;
  memset(&kv, 0x5a, sizeof kv);
  return filled(a, etcd_reply_kv(H(0, etcd_reply), a->len - 1, P(OUT, &kv), sizeof kv), &kv);
}
RUN(etcd_reply_previous) {
  etcd_kv kv;
  memset(&kv, 0x5a, sizeof kv);
  return filled(a, etcd_reply_previous(H(0, etcd_reply), a->len, P(OUT, &kv), sizeof kv), &kv);
}
QUIET(etcd_reply_children, etcd_reply_children(H(0, etcd_reply)) == 0)
QUIET(etcd_reply_child, etcd_reply_child(H(0, etcd_reply), a->len) == NULL)
RUN(etcd_reply_int) {
  int64_t out = 5;
  etcd_status status = etcd_reply_int(H(0, etcd_reply), a->number ? a->number : ETCD_FIELD_CLUSTER, P(OUT, &out));
  CHECK(status == ETCD_OK || a->nulls & OUT || out == 0);
  return status;
}
RUN(etcd_reply_bytes) {
  const uint8_t *out = bytes(poison);
  size_t len = 5;
  etcd_status status = etcd_reply_bytes(H(0, etcd_reply), a->number ? a->number : ETCD_FIELD_NAME, P(OUT, &out), P(MORE, &len));
  CHECK(a->nulls || (out == NULL && len == 0));
  return status;
}
QUIET(etcd_reply_free, (etcd_reply_free(H(0, etcd_reply)), 1))

RUN(etcd_queue_new) {
  STATUS;
  etcd_queue *out = LEFT_OVER(etcd_queue);
  (void)MADE(TOLD(etcd_queue_new(a->len, P(OUT, &out), ERRP)));
  if (status == ETCD_OK) {
    etcd_queue_free(out);
  }
  return status;
}
QUIET(etcd_queue_fd, etcd_queue_fd(H(0, etcd_queue)) == -1)
QUIET(etcd_queue_dup_fd, etcd_queue_dup_fd(H(0, etcd_queue)) == -1)
RUN(etcd_submit) {
  STATUS;
  (void)TOLD(etcd_submit(H(0, etcd_client), H(1, etcd_queue), H(2, etcd_request), ++last_tag, a->wide, ERRP));
  if (status == ETCD_OK) {
    etcd_event *event = NULL;
    IS(ETCD_OK, etcd_queue_next(H(1, etcd_queue), 10000, &event));
    CHECK(etcd_event_tag(event) == last_tag && etcd_event_is_last(event));
    etcd_event_free(event);
  }
  return status;
}
RUN(etcd_queue_cancel) { return etcd_queue_cancel(H(0, etcd_queue), 4711); }
RUN(etcd_queue_next) {
  etcd_event *out = LEFT_OVER(etcd_event);
  etcd_status status = etcd_queue_next(H(0, etcd_queue), a->wide, P(OUT, &out));
  return made(a, status, out);
}
QUIET(etcd_queue_wake, (etcd_queue_wake(H(0, etcd_queue)), 1))
RUN(etcd_queue_read) {
  uint64_t room[64];
  size_t used = 5;
  uint32_t records = 5;
  size_t size = a->len == 1 ? sizeof room : a->len;
  etcd_status status = etcd_queue_read(H(0, etcd_queue), P(DATA, (uint8_t *)room), size, P(OUT, &used), P(MORE, &records));
  CHECK(a->nulls & (OUT | MORE) || (used == 0 && records == 0));
  return status;
}
RUN(etcd_queue_take_reply) {
  etcd_reply *out = LEFT_OVER(etcd_reply);
  etcd_status status = etcd_queue_take_reply(H(0, etcd_queue), 4711, P(OUT, &out));
  return made(a, status, out);
}
QUIET(etcd_queue_bytes, etcd_queue_bytes(H(0, etcd_queue)) == -1)
QUIET(etcd_queue_free, (etcd_queue_free(H(0, etcd_queue)), 1))
RUN(etcd_free_with_thread) { return etcd_free_with_thread(H(0, etcd_client), H(1, etcd_queue)); }

QUIET(etcd_event_tag, etcd_event_tag(H(0, etcd_event)) == 0)
QUIET(etcd_event_kind, etcd_event_kind(H(0, etcd_event)) == 0)
QUIET(etcd_event_is_last, etcd_event_is_last(H(0, etcd_event)) == 0)
QUIET(etcd_event_status, etcd_event_status(H(0, etcd_event)) == 0)
QUIET(etcd_event_watch_state, etcd_event_watch_state(H(0, etcd_event)) == 0)
QUIET(etcd_event_revision, etcd_event_revision(H(0, etcd_event)) == 0)
QUIET(etcd_event_error, etcd_event_error(H(0, etcd_event)) == NULL)
QUIET(etcd_event_reply, etcd_event_reply(H(0, etcd_event)) == NULL)
QUIET(etcd_event_free, (etcd_event_free(H(0, etcd_event)), 1))

RUN(etcd_watcher_open) {
  STATUS;
  etcd_watcher *out = LEFT_OVER(etcd_watcher);
  etcd_request *watch = etcd_request_watch(bytes("quiet"), 5);
  int is_good = a->h[1] == good[REQUEST];
  (void)MADE(TOLD(etcd_watcher_open(H(0, etcd_client), is_good ? watch : H(1, etcd_request), a->wide, P(OUT, &out), ERRP)));
  if (status == ETCD_OK) {
    etcd_watcher_free(out);
  }
  etcd_request_free(watch);
  return status;
}
RUN(etcd_watcher_next) {
  etcd_event *out = LEFT_OVER(etcd_event);
  etcd_status status = etcd_watcher_next(H(0, etcd_watcher), a->wide, P(OUT, &out));
  return made(a, status, out);
}
/* Those are acquired or submitted, not run: what is wrong with them is found first all the same. */
static etcd_status acquired(etcd_request *request) {
  etcd_hold *hold = NULL;
  etcd_status status = etcd_acquire((etcd_client *)good[CLIENT], request, 10000, NULL, &hold, NULL);
  CHECK((status == ETCD_OK) == (hold != NULL));
  IS(status == ETCD_OK ? ETCD_ERR_INVALID_ARGUMENT : status, run(request));
  etcd_hold_free(hold);
  return status;
}
RUN(etcd_request_lock) { return acquired(etcd_request_lock(BYTES)); }
RUN(etcd_request_campaign) { return acquired(etcd_request_campaign(BYTES, P(MORE, bytes(a->data)), a->len)); }
RUN(etcd_request_observe) {
  etcd_status status = run(etcd_request_observe(BYTES));
  return status == ETCD_ERR_INVALID_ARGUMENT && !(a->nulls & DATA) ? ETCD_OK : status;
}
RUNS(etcd_request_leader, etcd_request_leader(BYTES))
RUNS(etcd_request_lock_queue, etcd_request_lock_queue(BYTES))
RUN(etcd_request_lock_find) { return run(etcd_request_lock_find(BYTES, a->wide)); }
RUN(etcd_request_lock_break) { return run(etcd_request_lock_break(BYTES, a->wide)); }
RUN(etcd_request_lock_renew) { return run(etcd_request_lock_renew(BYTES, a->wide)); }
RUN(etcd_request_release) {
  etcd_hold *mine = a->h[0] == good[HOLD] ? hold_of((etcd_client *)good[CLIENT], "mine") : H(0, etcd_hold);
  etcd_status status = run(etcd_request_release(mine));
  if (a->h[0] == good[HOLD]) {
    CHECK(!etcd_hold_is_held(mine) && etcd_hold_remaining_ms(mine) == 0 && etcd_hold_token(mine) > 0);
    IS(ETCD_ERR_NOT_HELD, run(etcd_request_release(mine))); /* once */
    IS(ETCD_ERR_NOT_HELD, run(etcd_request_proclaim(mine, bytes("v"), 1)));
    etcd_hold_free(mine);
  }
  return status;
}
RUN(etcd_request_proclaim) { return run(etcd_request_proclaim(H(0, etcd_hold), BYTES)); }
RUN(etcd_acquire) {
  STATUS;
  etcd_hold *out = LEFT_OVER(etcd_hold);
  char name[32];
  snprintf(name, sizeof name, "lock %d", checks);
  etcd_request *lock = etcd_request_lock(bytes(name), strlen(name));
  etcd_request *given = a->h[1] == good[REQUEST] ? lock : H(1, etcd_request);
  (void)MADE(TOLD(etcd_acquire(H(0, etcd_client), given, a->wide, H(2, etcd_cancel), P(OUT, &out), ERRP)));
  if (status == ETCD_OK) {
    etcd_hold_free(out);
  }
  etcd_request_free(lock);
  return status;
}
RUN(etcd_queue_take_hold) {
  etcd_hold *out = LEFT_OVER(etcd_hold);
  etcd_status status = etcd_queue_take_hold(H(0, etcd_queue), 4711, P(OUT, &out));
  return made(a, status, out);
}
QUIET(etcd_hold_token, etcd_hold_token(H(0, etcd_hold)) == 0)
QUIET(etcd_hold_is_held, etcd_hold_is_held(H(0, etcd_hold)) == 0)
QUIET(etcd_hold_remaining_ms, etcd_hold_remaining_ms(H(0, etcd_hold)) == 0)
RUN(etcd_hold_key) {
  uint8_t key[100];
  size_t len = 5;
  etcd_status status = etcd_hold_key(H(0, etcd_hold), key, sizeof key, P(OUT, &len));
  CHECK(a->nulls & OUT || (status == ETCD_OK ? len > 5 && !memcmp(key, "held/", 5) : len == 0));
  return status;
}
RUN(etcd_hold_guard) {
  etcd_request *mine = a->h[1] == good[REQUEST] ? etcd_request_txn() : H(1, etcd_request);
  etcd_status status = etcd_hold_guard(H(0, etcd_hold), mine);
  if (mine != H(1, etcd_request)) { /* a transaction that was to be guarded is never done without its guard */
    IS(status, run(mine));
  }
  return status;
}
QUIET(etcd_hold_free, (etcd_hold_free(H(0, etcd_hold)), 1))
QUIET(etcd_watcher_wake, (etcd_watcher_wake(H(0, etcd_watcher)), 1))
QUIET(etcd_watcher_free, (etcd_watcher_free(H(0, etcd_watcher)), 1))

/* ---- the table ---- */

enum { /* what else can be wrong */
  EMPTY = 1,    /* zero length: an empty key is no key */
  LONG = 2,     /* maximal length: too large */
  INDEX = 4,    /* an index far behind the end: there is no such thing */
  NUMBER = 8,   /* what is no level, field, relation */
  TIMEOUT = 16, /* less than -1 */
  ANY = 32,     /* any number is something that can be asked for */
  OPTIONAL = 64 /* the last handle may be NULL */
};

typedef struct row {
  const char *name;
  etcd_status (*run)(const args *);
  enum kind kinds[3];
  etcd_status ok;      /* with nothing wrong; QUIETLY: it tells nothing, and is called with wrong handles only */
  unsigned needed;     /* pointers that must not be NULL */
  unsigned optional;   /* pointers that may be */
  unsigned varies;
  etcd_status number;  /* with a bad number */
} row;

enum { QUIETLY = -1 };
#define ROW(name, k0, k1, k2, ok, needed, optional, varies, number) {#name, run_##name, {k0, k1, k2}, ok, needed, optional, varies, number}
#define TAKES(name, kind) ROW(name, kind, NONE, NONE, QUIETLY, 0, 0, 0, 0)
#define PLAIN(name) ROW(name, NONE, NONE, NONE, ETCD_OK, 0, 0, 0, 0)
#define INVALID ETCD_ERR_INVALID_ARGUMENT

static const row table[] = {
  PLAIN(etcd_version),
  ROW(etcd_version_check, NONE, NONE, NONE, ETCD_OK, 0, 0, NUMBER, ETCD_ERR_UNSUPPORTED),
  ROW(etcd_has, NONE, NONE, NONE, ETCD_OK, 0, DATA, 0, 0),
  ROW(etcd_log_to, NONE, NONE, NONE, ETCD_OK, 0, DATA, NUMBER, INVALID),
  ROW(etcd_status_name, NONE, NONE, NONE, ETCD_OK, 0, 0, NUMBER, ETCD_OK),
  TAKES(etcd_error_code, ERROR),
  TAKES(etcd_error_message, ERROR),
  TAKES(etcd_error_endpoint, ERROR),
  TAKES(etcd_error_server_code, ERROR),
  TAKES(etcd_error_compact_revision, ERROR),
  TAKES(etcd_error_is_retriable, ERROR),
  TAKES(etcd_error_is_outcome_unknown, ERROR),
  TAKES(etcd_error_free, ERROR),
  PLAIN(etcd_options_new),
  ROW(etcd_options_set, OPTIONS, NONE, NONE, ETCD_OK, DATA | MORE, ERR, 0, 0),
  TAKES(etcd_options_free, OPTIONS),
  ROW(etcd_client_open, OPTIONS, NONE, NONE, ETCD_OK, OUT, ERR, 0, 0),
  ROW(etcd_client_close, CLIENT, NONE, NONE, ETCD_OK, 0, ERR, TIMEOUT | OPTIONAL, 0),
  TAKES(etcd_client_free, CLIENT),
  ROW(etcd_client_counter, CLIENT, NONE, NONE, QUIETLY, 0, 0, NUMBER, ETCD_OK),
  PLAIN(etcd_cancel_new),
  TAKES(etcd_cancel_trigger, CANCEL),
  TAKES(etcd_cancel_free, CANCEL),
  ROW(etcd_call, CLIENT, REQUEST, CANCEL, ETCD_OK, 0, OUT | ERR, TIMEOUT | OPTIONAL, 0),
  ROW(etcd_pages_open, CLIENT, REQUEST, NONE, ETCD_OK, OUT, ERR, 0, 0),
  ROW(etcd_pages_next, PAGES, CANCEL, NONE, ETCD_OK, OUT, ERR, TIMEOUT | OPTIONAL, 0),
  TAKES(etcd_pages_free, PAGES),
  ROW(etcd_request_get, NONE, NONE, NONE, ETCD_OK, DATA, 0, EMPTY | LONG, 0),
  ROW(etcd_request_put, NONE, NONE, NONE, ETCD_OK, DATA | MORE, 0, EMPTY | LONG, 0),
  ROW(etcd_request_delete, NONE, NONE, NONE, ETCD_OK, DATA, 0, EMPTY | LONG, 0),
  PLAIN(etcd_request_txn),
  ROW(etcd_txn_compare_int, REQUEST, NONE, NONE, ETCD_OK, DATA, 0, LONG | NUMBER, INVALID),
  ROW(etcd_txn_compare_value, REQUEST, NONE, NONE, ETCD_OK, DATA | MORE, 0, LONG | NUMBER, INVALID),
  ROW(etcd_txn_then, REQUEST, REQUEST, NONE, ETCD_OK, 0, 0, 0, 0),
  ROW(etcd_txn_else, REQUEST, REQUEST, NONE, ETCD_OK, 0, 0, 0, 0),
  ROW(etcd_request_compact, NONE, NONE, NONE, ETCD_OK, 0, 0, ANY, 0),
  ROW(etcd_request_lease_grant, NONE, NONE, NONE, ETCD_OK, 0, 0, ANY, 0),
  ROW(etcd_request_lease_revoke, NONE, NONE, NONE, ETCD_OK, 0, 0, ANY, 0),
  ROW(etcd_request_lease_keep_alive, NONE, NONE, NONE, ETCD_OK, 0, 0, ANY, 0),
  ROW(etcd_request_lease_ttl, NONE, NONE, NONE, ETCD_OK, 0, 0, ANY, 0),
  PLAIN(etcd_request_leases),
  PLAIN(etcd_request_members),
  PLAIN(etcd_request_status),
  PLAIN(etcd_request_sync_members),
  ROW(etcd_request_alarm, NONE, NONE, NONE, ETCD_OK, 0, 0, NUMBER | ANY, INVALID),
  ROW(etcd_request_hash, NONE, NONE, NONE, ETCD_OK, 0, 0, ANY, 0),
  ROW(etcd_request_authenticate, NONE, NONE, NONE, ETCD_ERR_REFUSED, DATA | MORE, 0, LONG, 0),
  ROW(etcd_request_watch, NONE, NONE, NONE, ETCD_OK, DATA, 0, LONG, 0),
  ROW(etcd_request_set_int, REQUEST, NONE, NONE, ETCD_OK, 0, 0, NUMBER, INVALID),
  ROW(etcd_request_set_bytes, REQUEST, NONE, NONE, ETCD_OK, DATA, 0, LONG | NUMBER, INVALID),
  TAKES(etcd_request_free, REQUEST),
  TAKES(etcd_reply_revision, REPLY),
  TAKES(etcd_reply_count, REPLY),
  TAKES(etcd_reply_more, REPLY),
  TAKES(etcd_reply_succeeded, REPLY),
  TAKES(etcd_reply_kvs, REPLY),
  ROW(etcd_reply_kv, REPLY, NONE, NONE, ETCD_OK, OUT, 0, INDEX, 0),
  ROW(etcd_reply_previous, REPLY, NONE, NONE, ETCD_ERR_KEY_NOT_FOUND, OUT, 0, INDEX, 0),
  TAKES(etcd_reply_children, REPLY),
  TAKES(etcd_reply_child, REPLY),
  ROW(etcd_reply_int, REPLY, NONE, NONE, ETCD_OK, OUT, 0, NUMBER, ETCD_ERR_KEY_NOT_FOUND),
  ROW(etcd_reply_bytes, REPLY, NONE, NONE, ETCD_ERR_KEY_NOT_FOUND, OUT | MORE, 0, NUMBER, ETCD_ERR_KEY_NOT_FOUND),
  TAKES(etcd_reply_free, REPLY),
  ROW(etcd_queue_new, NONE, NONE, NONE, ETCD_OK, OUT, ERR, 0, 0),
  TAKES(etcd_queue_fd, QUEUE),
  TAKES(etcd_queue_dup_fd, QUEUE),
  ROW(etcd_submit, CLIENT, QUEUE, REQUEST, ETCD_OK, 0, ERR, TIMEOUT, 0),
  ROW(etcd_queue_cancel, QUEUE, NONE, NONE, ETCD_OK, 0, 0, 0, 0),
  ROW(etcd_queue_next, QUEUE, NONE, NONE, ETCD_ERR_TIMEOUT, OUT, 0, TIMEOUT, 0),
  TAKES(etcd_queue_wake, QUEUE),
  ROW(etcd_queue_read, QUEUE, NONE, NONE, ETCD_OK, OUT | DATA | MORE, 0, 0, 0),
  ROW(etcd_queue_take_reply, QUEUE, NONE, NONE, ETCD_ERR_KEY_NOT_FOUND, OUT, 0, 0, 0),
  TAKES(etcd_queue_bytes, QUEUE),
  TAKES(etcd_queue_free, QUEUE),
  ROW(etcd_free_with_thread, CLIENT, QUEUE, NONE, ETCD_OK, 0, 0, 0, 0),
  TAKES(etcd_event_tag, EVENT),
  TAKES(etcd_event_kind, EVENT),
  TAKES(etcd_event_is_last, EVENT),
  TAKES(etcd_event_status, EVENT),
  TAKES(etcd_event_watch_state, EVENT),
  TAKES(etcd_event_revision, EVENT),
  TAKES(etcd_event_error, EVENT),
  TAKES(etcd_event_reply, EVENT),
  TAKES(etcd_event_free, EVENT),
  ROW(etcd_watcher_open, CLIENT, REQUEST, NONE, ETCD_OK, OUT, ERR, TIMEOUT, 0),
  ROW(etcd_watcher_next, WATCHER, NONE, NONE, ETCD_ERR_TIMEOUT, OUT, 0, TIMEOUT, 0),
  ROW(etcd_request_lock, NONE, NONE, NONE, ETCD_OK, DATA, 0, EMPTY | LONG, 0),
  ROW(etcd_request_campaign, NONE, NONE, NONE, ETCD_OK, DATA | MORE, 0, EMPTY | LONG, 0),
  ROW(etcd_request_observe, NONE, NONE, NONE, ETCD_OK, DATA, 0, LONG, 0),
  ROW(etcd_request_leader, NONE, NONE, NONE, ETCD_OK, DATA, 0, EMPTY | LONG, 0),
  ROW(etcd_request_lock_queue, NONE, NONE, NONE, ETCD_OK, DATA, 0, EMPTY | LONG, 0),
  ROW(etcd_request_lock_find, NONE, NONE, NONE, ETCD_ERR_NOT_HELD, DATA, 0, EMPTY | LONG | ANY, 0),
  ROW(etcd_request_lock_break, NONE, NONE, NONE, ETCD_ERR_NOT_HELD, DATA, 0, EMPTY | LONG | ANY, 0),
  ROW(etcd_request_lock_renew, NONE, NONE, NONE, ETCD_ERR_NOT_HELD, DATA, 0, EMPTY | LONG | ANY, 0),
  ROW(etcd_request_release, HOLD, NONE, NONE, ETCD_OK, 0, 0, 0, 0),
  ROW(etcd_request_proclaim, HOLD, NONE, NONE, ETCD_OK, DATA, 0, LONG, 0),
  ROW(etcd_acquire, CLIENT, REQUEST, CANCEL, ETCD_OK, OUT, ERR, TIMEOUT | OPTIONAL, 0),
  ROW(etcd_queue_take_hold, QUEUE, NONE, NONE, ETCD_ERR_KEY_NOT_FOUND, OUT, 0, 0, 0),
  TAKES(etcd_hold_token, HOLD),
  TAKES(etcd_hold_is_held, HOLD),
  TAKES(etcd_hold_remaining_ms, HOLD),
  ROW(etcd_hold_key, HOLD, NONE, NONE, ETCD_OK, OUT, 0, 0, 0),
  ROW(etcd_hold_guard, HOLD, REQUEST, NONE, ETCD_OK, 0, 0, 0, 0),
  TAKES(etcd_hold_free, HOLD),
  TAKES(etcd_watcher_wake, WATCHER),
  TAKES(etcd_watcher_free, WATCHER),
};
enum { ROWS = sizeof table / sizeof *table };

/* ---- one thing wrong at a time ---- */

static args all_good(const row *r) {
  args a;
  memset(&a, 0, sizeof a);
  for (int p = 0; p < 3; p++) {
    a.h[p] = good[r->kinds[p]];
  }
  a.data = "1";
  a.len = 1;
  return a;
}

static void gives(const row *r, const args *a, etcd_status wanted) {
  is(r->ok == (etcd_status)QUIETLY ? ETCD_OK : wanted, r->run(a), etcd_status_name(wanted), __LINE__);
}

/* A handle or value is NULL, something else, a stray number, freed, or was this process's parent's. */
static void wrong_things(const row *r, int p) {
  static const uintptr_t stray[] = {1, 8, 0x18, 0x28, 0x38, 0x48, 0x58, 4711, 0x7ffffff8, (uintptr_t)-8, (uintptr_t)-1};
  enum kind kind = r->kinds[p];
  int is_last = p == 2 || r->kinds[p + 1] == NONE;
  args a = all_good(r);
  with = "NULL for a handle";
  a.h[p] = NULL;
  if (r->run == run_etcd_client_open) { /* then the environment has the options, and it names no servers */
    gives(r, &a, INVALID);
  } else {
    gives(r, &a, r->varies & OPTIONAL && is_last ? r->ok : INVALID);
  }
  for (int other = CLIENT; other < KINDS; other++) {
    with = kinds[other];
    a.h[p] = good[other];
    if (other != (int)kind) {
      gives(r, &a, INVALID);
    }
  }
  with = "a stray number";
  for (size_t at = 0; at < sizeof stray / sizeof *stray; at++) {
    a.h[p] = (void *)stray[at];
    gives(r, &a, INVALID);
  }
  for (int other = CLIENT; other < NUMBERS; other++) {
    with = "what was freed";
    a.h[p] = freed[other];
    gives(r, &a, other == (int)kind ? ETCD_ERR_CLOSED : INVALID);
    with = "what the parent has";
    a.h[p] = inherited[other];
    if (inherited[other]) {
      gives(r, &a, other == (int)kind ? ETCD_ERR_FORKED : INVALID);
    }
  }
}

static void wrong_pointers(const row *r) {
  for (unsigned bit = OUT; bit <= MORE; bit <<= 1) {
    args a = all_good(r);
    a.nulls = bit;
    with = "NULL for a pointer";
    if (r->needed & bit) {
      gives(r, &a, INVALID);
    } else if (r->optional & bit) {
      gives(r, &a, r->ok);
    }
  }
}

static void wrong_numbers(const row *r) {
  static const int32_t numbers[] = {INT32_MIN, -1, 4711, INT32_MAX};
  static const int64_t wide[] = {INT64_MIN, INT64_MIN + 1, -2, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
  static const size_t sizes[] = {(size_t)1 << 30, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX - 7, SIZE_MAX};
  args a = all_good(r);
  with = "a bad number";
  for (int at = 0; at < 4 && r->varies & NUMBER; at++) {
    a.number = numbers[at];
    gives(r, &a, r->number);
  }
  with = "a negative timeout";
  for (int at = 0; at < 3 && r->varies & TIMEOUT; at++) {
    a = all_good(r);
    a.wide = wide[at];
    gives(r, &a, INVALID);
  }
  with = "any number";
  for (int at = 0; at < 8 && r->varies & ANY; at++) {
    a = all_good(r);
    a.wide = wide[at];
    CHECK(strcmp(etcd_status_name(r->run(&a)), "ETCD_ERR_PANIC"));
  }
  for (int at = 0; at < 5 && r->varies & (LONG | INDEX); at++) {
    with = "a length that can't be";
    a = all_good(r);
    a.len = sizes[at];
    gives(r, &a, r->varies & LONG ? ETCD_ERR_TOO_LARGE : ETCD_ERR_KEY_NOT_FOUND);
  }
  with = "zero length";
  a = all_good(r);
  a.len = 0;
  for (int null = 0; null < 2 && r->varies & EMPTY; null++) {
    a.nulls = null ? DATA | MORE : 0;
    gives(r, &a, INVALID);
  }
}

static void all_rows(void) {
  for (int at = 0; at < ROWS; at++) {
    const row *r = &table[at];
    function = r->name;
    with = "nothing wrong";
    if (r->ok != (etcd_status)QUIETLY && !(r->varies & ANY)) {
      args a = all_good(r);
      gives(r, &a, r->ok);
    }
    for (int p = 0; p < 3 && r->kinds[p] != NONE; p++) {
      wrong_things(r, p);
    }
    wrong_pointers(r);
    wrong_numbers(r);
  }
}

/* ---- what no table has ---- */

static etcd_request *request_number(int number) {
  switch (number) {
    case 0: return get_of("k");
    case 1: return etcd_request_put(bytes("k"), 1, NULL, 0);
    case 2: return etcd_request_delete(bytes("other"), 5);
    case 3: return etcd_request_txn();
    case 4: return etcd_request_compact(1);
    case 5: return etcd_request_lease_grant(60);
    case 6: return etcd_request_lease_ttl(1);
    case 7: return etcd_request_hash(0);
    case 8: return etcd_request_watch(bytes("k"), 1);
    case 9: return etcd_request_alarm(ETCD_ALARM_LIST, 0, ETCD_ALARM_ANY);
    case 10: return etcd_request_lock(bytes("k"), 1);
    case 11: return etcd_request_observe(bytes("k"), 1);
    case 12: return etcd_request_leader(bytes("k"), 1);
    default: return NULL;
  }
}

/* Every field of every request, with every kind of number: set or refused, and if refused, the request is as well. */
static void every_field(void) {
  static const int64_t values[] = {INT64_MIN, -1, 0, 1, 2, 5, INT64_MAX};
  function = "etcd_request_set_int";
  for (int number = 0; number < 13; number++) {
    for (int32_t field = -1; field < 60; field++) {
      for (size_t at = 0; at < sizeof values / sizeof *values; at++) {
        etcd_request *request = request_number(number);
        etcd_status status = etcd_request_set_int(request, field, values[at]);
        CHECK(status == ETCD_OK || status == INVALID);
        etcd_status ran = run(request);
        CHECK(status == ETCD_OK || ran == INVALID);
      }
    }
  }
}

static void huge_key(void) {
  function = "a key of 1 GiB";
  const size_t size = (size_t)1 << 30;
  int zero = open("/dev/zero", O_RDONLY);
  /* Reading any of it would end this program. */
  void *key = mmap(NULL, size, PROT_NONE, MAP_PRIVATE, zero, 0);
  CHECK(key != MAP_FAILED && close(zero) == 0);
  etcd_request *put = etcd_request_put((const uint8_t *)key, size, bytes("v"), 1);
  etcd_error *err = NULL;
  IS(ETCD_ERR_TOO_LARGE, etcd_submit((etcd_client *)good[CLIENT], (etcd_queue *)good[QUEUE], put, ++last_tag, -1, &err));
  CHECK(etcd_error_code(err) == ETCD_ERR_TOO_LARGE);
  etcd_error_free(err);
  IS(ETCD_ERR_TOO_LARGE, run(put));
  IS(ETCD_ERR_TOO_LARGE, run(etcd_request_put(bytes("k"), 1, (const uint8_t *)key, size)));
  munmap(key, size);
}

/* The place of a panic is logged, and nothing is written to stderr, which the test looks at. */
static void panics(void) {
  function = "etcd_test_panic";
  etcd_error *err = NULL;
  lines = 0;
  IS(ETCD_OK, etcd_log_to(take_line, ETCD_LOG_ERROR, &lines, NULL));
  IS(ETCD_ERR_PANIC, etcd_test_panic(&err));
  IS(ETCD_OK, etcd_log_to(NULL, 0, NULL, NULL));
  CHECK(lines == 1 && strstr(etcd_error_message(err), "on purpose") && etcd_error_is_outcome_unknown(err));
  etcd_error_free(err);
  IS(ETCD_ERR_PANIC, etcd_test_panic(NULL));
}

static void canceled_and_closed(void) {
  function = "what was canceled or closed";
  etcd_client *client = open_client();
  etcd_cancel *cancel = etcd_cancel_new();
  etcd_request *get = get_of("k"), *watch = etcd_request_watch(bytes("k"), 1);
  etcd_pages *pages = NULL;
  etcd_watcher *watcher = NULL, *other = LEFT_OVER(etcd_watcher);
  etcd_queue *queue = NULL;
  etcd_reply *reply = LEFT_OVER(etcd_reply);
  etcd_event *event = NULL;
  IS(ETCD_OK, etcd_pages_open(client, get, &pages, NULL));
  IS(ETCD_OK, etcd_queue_new(SIZE_MAX, &queue, NULL));
  IS(ETCD_OK, etcd_watcher_open(client, watch, INT64_MAX, &watcher, NULL));
  IS(ETCD_OK, etcd_submit(client, queue, watch, UINT64_MAX, INT64_MAX, NULL));
  IS(INVALID, etcd_submit(client, queue, get, UINT64_MAX, -1, NULL)); /* in use */
  IS(INVALID, etcd_submit(client, queue, get, 0, -1, NULL));
  IS(INVALID, etcd_call(client, watch, -1, NULL, NULL, NULL));
  IS(INVALID, etcd_watcher_open(client, get, -1, &other, NULL));
  CHECK(other == NULL);
  IS(INVALID, etcd_request_set_int(watch, ETCD_FIELD_PREFIX, 1)); /* it was run */
  etcd_cancel_trigger(cancel);
  etcd_cancel_trigger(cancel);
  IS(ETCD_ERR_CANCELED, etcd_call(client, get, -1, cancel, &reply, NULL));
  CHECK(reply == NULL);
  IS(ETCD_ERR_CANCELED, etcd_pages_next(pages, -1, cancel, &reply, NULL));
  IS(ETCD_OK, etcd_client_close(client, 10000, NULL));
  etcd_client_free(client);
  IS(ETCD_ERR_CLOSED, etcd_pages_next(pages, -1, NULL, &reply, NULL));
  CHECK(reply == NULL);
  for (int last = 0; !last;) {
    IS(ETCD_OK, etcd_watcher_next(watcher, -1, &event));
    last = etcd_event_is_last(event);
    CHECK(!last || etcd_event_status(event) == ETCD_ERR_CLOSED);
    etcd_event_free(event);
  }
  IS(ETCD_ERR_CLOSED, etcd_watcher_next(watcher, -1, &event));
  CHECK(event == NULL);
  etcd_watcher_free(watcher);
  IS(ETCD_ERR_CLOSED, etcd_watcher_next(watcher, -1, &event));
  for (int last = 0; !last;) {
    IS(ETCD_OK, etcd_queue_next(queue, -1, &event));
    last = etcd_event_is_last(event);
    etcd_error_free((etcd_error *)etcd_event_error(event)); /* is the event's: nothing happens */
    CHECK(!last || etcd_error_code(etcd_event_error(event)) == ETCD_ERR_CLOSED);
    etcd_event_free(event);
  }
  etcd_queue_free(queue);
  etcd_pages_free(pages);
  etcd_cancel_free(cancel);
  etcd_request_free(get);
  etcd_request_free(watch);
}

/* A buffer that is too small, not aligned, or said to be as large as all memory. */
static void buffers(void) {
  function = "etcd_queue_read";
  etcd_queue *queue = (etcd_queue *)good[QUEUE];
  uint64_t room[64];
  size_t used = 5;
  uint32_t records = 5;
  IS(ETCD_OK, etcd_submit((etcd_client *)good[CLIENT], queue, (etcd_request *)good[REQUEST], ++last_tag, -1, NULL));
  while (etcd_queue_read(queue, (uint8_t *)room, 0, &used, &records) == ETCD_OK) {
    const struct timespec pause = {0, 1000 * 1000};
    nanosleep(&pause, NULL);
  }
  for (size_t cap = 0; cap < used; cap += 8) {
    size_t needed = 0;
    IS(ETCD_ERR_TOO_LARGE, etcd_queue_read(queue, (uint8_t *)room, cap, &needed, &records));
    CHECK(needed == used && records == 0);
  }
  for (size_t at = 1; at < 8; at++) {
    IS(INVALID, etcd_queue_read(queue, (uint8_t *)room + at, sizeof room - 8, &used, &records));
    CHECK(used == 0 && records == 0);
  }
  IS(ETCD_OK, etcd_queue_read(queue, (uint8_t *)room, SIZE_MAX, &used, &records));
  CHECK(used > 0 && used <= sizeof room && records == 1);
}

/* A part of a reply is not freed; a transaction is not as deep as a stack. */
static void transactions(void) {
  function = "etcd_txn_then";
  etcd_request *txn = etcd_request_txn(), *get = get_of("k");
  etcd_reply *reply = NULL;
  IS(ETCD_OK, etcd_txn_then(txn, get));
  IS(ETCD_OK, etcd_call((etcd_client *)good[CLIENT], txn, -1, NULL, &reply, NULL));
  etcd_reply_free((etcd_reply *)etcd_reply_child(reply, 0));
  CHECK(etcd_reply_kvs(etcd_reply_child(reply, 0)) == 1);
  etcd_reply_free(reply);
  IS(INVALID, etcd_txn_then(txn, get)); /* it was run */
  etcd_request_free(txn);
  etcd_status status = ETCD_OK;
  txn = etcd_request_txn();
  IS(ETCD_OK, etcd_txn_then(txn, txn));
  for (int times = 0; times < 10000 && status == ETCD_OK; times++) {
    status = etcd_txn_then(txn, txn); /* twice as much, and one deeper, each time */
  }
  IS(INVALID, status);
  IS(INVALID, run(txn));
  IS(INVALID, etcd_txn_then(get, get));
  etcd_request_free(get);
}

/* A place is named by its token, and by nothing that could mean another one. */
static void locks(void) {
  static const int64_t tokens[] = {INT64_MIN, -1, 0, 1, INT64_MAX};
  etcd_hold *hold = (etcd_hold *)good[HOLD];
  uint8_t key[64];
  size_t len = 0;
  function = "etcd_hold_key";
  IS(ETCD_ERR_TOO_LARGE, etcd_hold_key(hold, NULL, 0, &len));
  for (size_t cap = 0; cap < len; cap++) {
    size_t needed = 0;
    key[cap] = 0x5a;
    IS(ETCD_ERR_TOO_LARGE, etcd_hold_key(hold, key, cap, &needed));
    CHECK(needed == len && key[cap] == 0x5a && !memcmp(key, "held/", cap < 5 ? cap : 5));
  }
  function = "a token that nobody has";
  for (int at = 0; at < 5; at++) {
    IS(ETCD_ERR_NOT_HELD, run(etcd_request_lock_find(bytes("held"), 4, tokens[at])));
    IS(ETCD_ERR_NOT_HELD, run(etcd_request_lock_break(bytes("held"), 4, tokens[at])));
    IS(ETCD_ERR_NOT_HELD, run(etcd_request_lock_renew(bytes("held"), 4, tokens[at])));
  }
  IS(ETCD_OK, run(etcd_request_lock_find(bytes("held"), 4, etcd_hold_token(hold))));
  IS(ETCD_OK, run(etcd_request_lock_renew(bytes("held"), 4, etcd_hold_token(hold))));
  CHECK(etcd_hold_is_held(hold));
  function = "a value that names a place";
  for (int by = 0; by < 3; by++) { /* nobody's, none, and one beside a token */
    static const etcd_status wants[] = {ETCD_ERR_NOT_HELD, ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_INVALID_ARGUMENT};
    etcd_request *force = etcd_request_lock_break(bytes("held"), 4, by == 2 ? etcd_hold_token(hold) : 0);
    IS(ETCD_OK, etcd_request_set_bytes(force, ETCD_FIELD_VALUE, bytes("nobody"), by == 1 ? 0 : 6));
    IS(wants[by], run(force));
  }
  CHECK(etcd_hold_is_held(hold));
  function = "a place that is shared";
  etcd_hold *both[2] = {NULL, NULL};
  for (int at = 0; at < 2; at++) {
    etcd_request *sharing = etcd_request_lock(bytes("shared"), 6);
    IS(ETCD_OK, etcd_request_set_int(sharing, ETCD_FIELD_JOIN, 1));
    IS(ETCD_OK, etcd_request_set_bytes(sharing, ETCD_FIELD_VALUE, bytes("us"), 2));
    IS(ETCD_OK, etcd_acquire((etcd_client *)good[CLIENT], sharing, 10000, NULL, &both[at], NULL));
    etcd_request_free(sharing);
  }
  CHECK(etcd_hold_token(both[0]) > 0 && etcd_hold_token(both[0]) == etcd_hold_token(both[1]));
  IS(ETCD_OK, run(etcd_request_release(both[1])));
  IS(ETCD_ERR_NOT_HELD, run(etcd_request_release(both[0]))); /* it was released for both */
  etcd_hold_free(both[0]);
  etcd_hold_free(both[1]);
  function = "a place that is joined";
  for (int with = 0; with < 2; with++) { /* a value to know it by, or none */
    etcd_request *joining = etcd_request_lock(bytes("held"), 4);
    etcd_hold *joined = LEFT_OVER(etcd_hold);
    etcd_request *queue = etcd_request_lock_queue(bytes("held"), 4);
    IS(ETCD_ERR_INVALID_ARGUMENT, etcd_request_set_int(queue, ETCD_FIELD_JOIN, 1));
    etcd_request_free(queue);
    IS(ETCD_OK, etcd_request_set_int(joining, ETCD_FIELD_JOIN, 1));
    IS(ETCD_OK, with ? etcd_request_set_bytes(joining, ETCD_FIELD_VALUE, bytes("v"), 1) : ETCD_OK);
    IS(with ? ETCD_ERR_TIMEOUT : ETCD_ERR_INVALID_ARGUMENT,
       etcd_acquire((etcd_client *)good[CLIENT], joining, 0, NULL, &joined, NULL));
    CHECK(joined == NULL);
    etcd_request_free(joining);
  }
  function = "etcd_acquire";
  etcd_request *again = etcd_request_lock(bytes("held"), 4);
  etcd_hold *other = LEFT_OVER(etcd_hold);
  IS(ETCD_ERR_TIMEOUT, etcd_acquire((etcd_client *)good[CLIENT], again, 0, NULL, &other, NULL));
  CHECK(other == NULL);
  etcd_request_free(again);
}

static void in_a_child(void) {
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    memcpy(inherited, good, sizeof good);
    alarm(240);
    make_all();
    all_rows();
    free_all(good);
    function = "freeing what the parent has";
    free_all(inherited);
    /* It is killed, so that nobody looks for leaks: what the parent's threads hold has no owner here. */
    raise(SIGSTOP);
    _exit(1);
  }
  int status;
  CHECK(waitpid(child, &status, WUNTRACED) == child);
  function = "all of this in a forked child";
  CHECK(WIFSTOPPED(status));
  CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fputs("usage: bad_input SERVERS|functions\n", stderr);
    return 2;
  }
  for (int at = 0; at < ROWS && !strcmp(argv[1], "functions"); at++) {
    puts(table[at].name);
  }
  if (!strcmp(argv[1], "functions")) {
    return 0;
  }
  servers = argv[1];
  alarm(240); /* a call that never ends is a fault too */
  make_all();
  all_rows();
  every_field();
  huge_key();
  panics();
  canceled_and_closed();
  buffers();
  transactions();
  locks();
  in_a_child();
  function = "all that was not to be harmed";
  IS(ETCD_OK, etcd_call((etcd_client *)good[CLIENT], (etcd_request *)good[REQUEST], -1, (etcd_cancel *)good[CANCEL], NULL, NULL));
  free_all(good);
  printf("%d checks\n", checks);
  return 0;
}
