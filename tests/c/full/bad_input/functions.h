/* For bad_input.c: what a function is called with, and a wrapper for each function. */

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
