/* What is refused, and stays refused, and what its error says.   misuse ENDPOINTS */
#include "harness.h"

static etcd_client *client;

static etcd_request *with(etcd_request *request, int32_t field, int64_t value) {
  DONE(etcd_request_set_int(request, field, value));
  return request;
}

/* Fails, and the message says this. Frees the request. */
static void fails(etcd_status wanted, etcd_request *request, const char *says) {
  etcd_error *error = NULL;
  GIVES(wanted, etcd_call(client, request, 20000, NULL, NULL, &error));
  if (!strstr(etcd_error_message(error), says)) {
    fprintf(stderr, "%s\n", etcd_error_message(error));
  }
  CHECK(strstr(etcd_error_message(error), says) != NULL);
  etcd_error_free(error);
  etcd_request_free(request);
}

static int64_t keys(void) {
  etcd_reply *reply = must(client, everything(etcd_request_get(TEXT("misuse/"))));
  int64_t found = etcd_reply_count(reply);
  etcd_reply_free(reply);
  return found;
}

/* == A request that was run, and is changed then =========================================================== */

static etcd_request *txn_with_put(void) {
  etcd_request *txn = etcd_request_txn(), *put = etcd_request_put(TEXT("misuse/guarded"), TEXT("v"));
  DONE(etcd_txn_then(txn, put));
  etcd_request_free(put);
  return txn;
}

static void runs_twice(etcd_request *request) {
  DONE(etcd_call(client, request, 20000, NULL, NULL, NULL));
  DONE(etcd_call(client, request, 20000, NULL, NULL, NULL));
}

static void a_guard_that_comes_too_late_is_never_left_out(void) {
  etcd_request *txn = txn_with_put(), *lock = etcd_request_lock(TEXT("misuse-lock")), *outer = etcd_request_txn();
  etcd_hold *hold;
  runs_twice(txn);
  must_do(client, etcd_request_delete(TEXT("misuse/guarded")));
  DONE(etcd_acquire(client, lock, 20000, NULL, &hold, NULL));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_hold_guard(hold, txn));
  etcd_hold_free(hold);
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_txn_then(outer, txn));
  fails(ETCD_ERR_INVALID_ARGUMENT, outer, "then it was changed");
  fails(ETCD_ERR_INVALID_ARGUMENT, txn, "then it was changed");
  CHECK(keys() == 0);
  etcd_request_free(lock);
}

static void so_are_a_comparison_and_a_field(void) {
  etcd_request *txn = txn_with_put(), *get = everything(etcd_request_get(TEXT("misuse/")));
  etcd_request *put = etcd_request_put(TEXT("misuse/put"), TEXT("v"));
  runs_twice(txn);
  runs_twice(get);
  runs_twice(put);
  must_do(client, everything(etcd_request_delete(TEXT("misuse/"))));
  GIVES(ETCD_ERR_INVALID_ARGUMENT,
        etcd_txn_compare_int(txn, TEXT("misuse/none"), ETCD_TARGET_VERSION, ETCD_RELATION_EQUAL, 7));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_request_set_int(get, ETCD_FIELD_LIMIT, 1));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_request_set_bytes(put, ETCD_FIELD_IF_VALUE, TEXT("other")));
  fails(ETCD_ERR_INVALID_ARGUMENT, txn, "then it was changed");
  fails(ETCD_ERR_INVALID_ARGUMENT, get, "then it was changed");
  fails(ETCD_ERR_INVALID_ARGUMENT, put, "then it was changed");
  CHECK(keys() == 0);
}

static void and_what_was_submitted(void) {
  etcd_queue *queue = new_queue(0);
  etcd_request *watch = everything(etcd_request_watch(TEXT("misuse/")));
  etcd_watcher *watcher;
  DONE(etcd_submit(client, queue, watch, 1, 20000, NULL));
  DONE(etcd_submit(client, queue, watch, 2, 20000, NULL));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_request_set_int(watch, ETCD_FIELD_START_REVISION, 1));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_submit(client, queue, watch, 3, 20000, NULL));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_watcher_open(client, watch, 20000, &watcher, NULL));
  etcd_request_free(watch);
  etcd_queue_free(queue);
}

/* == Asking how large the next event is ==================================================================== */

static void a_queue_is_read_without_a_buffer(void) {
  etcd_queue *queue = new_queue(0);
  etcd_request *get = etcd_request_get(TEXT("misuse/"));
  uint64_t room[1000];
  size_t used = 7, needed = 0;
  uint32_t records = 7;
  DONE(etcd_queue_read(queue, NULL, 0, &used, &records));
  CHECK(used == 0 && records == 0);
  DONE(etcd_submit(client, queue, get, 1, 20000, NULL));
  CHECK(readable(etcd_queue_fd(queue), 20000));
  GIVES(ETCD_ERR_TOO_LARGE, etcd_queue_read(queue, NULL, 0, &needed, &records));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_queue_read(queue, NULL, 8, &used, &records));
  CHECK(needed > 0 && needed <= sizeof room && records == 0);
  DONE(etcd_queue_read(queue, (uint8_t *)room, needed, &used, &records));
  CHECK(used == needed && records == 1);
  etcd_request_free(get);
  etcd_queue_free(queue);
}

/* == What an error tells to do ============================================================================== */

static etcd_request *a_put(void) {
  return etcd_request_put(TEXT("misuse/a"), TEXT("v"));
}

static etcd_request *put_if_value(const char *value) {
  etcd_request *request = a_put();
  DONE(etcd_request_set_bytes(request, ETCD_FIELD_IF_VALUE, TEXT(value)));
  return request;
}

static etcd_request *puts_to(int keys, int count) {
  etcd_request *txn = etcd_request_txn();
  for (int n = 0; n < count; n++) {
    char key[40];
    snprintf(key, sizeof key, "misuse/%d", n % keys);
    etcd_request *put = etcd_request_put(TEXT(key), TEXT("v"));
    DONE(etcd_txn_then(txn, put));
    etcd_request_free(put);
  }
  return txn;
}

static void a_condition_that_does_not_hold_is_told_with_the_operation(void) {
  const etcd_status failed = ETCD_ERR_COMPARE_FAILED;
  put(client, "misuse/a", "secret");
  fails(failed, with(a_put(), ETCD_FIELD_IF_ABSENT, 1), "write \"misuse/a\"");
  fails(failed, with(a_put(), ETCD_FIELD_IF_ABSENT, 1), "the condition does not hold: there must be no such key");
  fails(failed, with(a_put(), ETCD_FIELD_IF_ABSENT, 1), "(read the key and decide again)");
  fails(failed, with(a_put(), ETCD_FIELD_IF_MOD_REVISION, 1), "changed last at revision 1");
  fails(failed, with(with(a_put(), ETCD_FIELD_IF_CREATE_REVISION, 1), ETCD_FIELD_TTL, 60), "write \"misuse/a\"");
  fails(failed, put_if_value("hidden"), "its value must be the given one");
  fails(failed, with(put_if_value("hidden"), ETCD_FIELD_IF_PRESENT, 1), "not all conditions hold: there must be such");
  fails(failed, with(etcd_request_delete(TEXT("misuse/none")), ETCD_FIELD_IF_PRESENT, 1), "delete \"misuse/none\"");
}

static void a_refusal_says_what_to_do(void) {
  int64_t revision = put(client, "misuse/a", "v");
  fails(ETCD_ERR_FUTURE_REVISION, with(etcd_request_get(TEXT("a")), ETCD_FIELD_REVISION, revision + 1000),
        "(ask for a revision that a reply has told, or for none)");
  fails(ETCD_ERR_LEASE_NOT_FOUND, with(a_put(), ETCD_FIELD_LEASE, 4711), "grant another one");
  fails(ETCD_ERR_INVALID_ARGUMENT, puts_to(129, 129), "--max-txn-ops");
  fails(ETCD_ERR_INVALID_ARGUMENT, puts_to(1, 2), "may change each key once");
  must_do(client, etcd_request_compact(revision));
  fails(ETCD_ERR_COMPACTED, etcd_request_compact(revision), "(that history is gone already)");
}

/* == Nonsense ============================================================================================== */

static etcd_request *with_end(etcd_request *request, etcd_status wanted) {
  GIVES(wanted, etcd_request_set_bytes(request, ETCD_FIELD_RANGE_END, TEXT("z")));
  return request;
}

static void nonsense_is_refused_by_its_name(void) {
  const etcd_status invalid = ETCD_ERR_INVALID_ARGUMENT;
  etcd_request *negative = a_put(), *both = with_end(etcd_request_get(TEXT("a")), ETCD_OK);
  GIVES(invalid, etcd_request_set_int(negative, ETCD_FIELD_TTL, -1));
  fails(invalid, negative, "ETCD_FIELD_TTL is negative");
  GIVES(invalid, etcd_request_set_int(both, ETCD_FIELD_PREFIX, 1));
  fails(invalid, both, "both ETCD_FIELD_PREFIX and ETCD_FIELD_RANGE_END");
  fails(invalid, with_end(everything(etcd_request_get(TEXT("a"))), invalid), "both ETCD_FIELD_PREFIX");
  fails(invalid, with_end(everything(etcd_request_get(NULL, 0)), invalid), "both ETCD_FIELD_PREFIX");
  must_do(client, everything(everything(etcd_request_get(NULL, 0))));
  must_do(client, with_end(with(everything(etcd_request_get(TEXT("a"))), ETCD_FIELD_PREFIX, 0), ETCD_OK));
  fails(invalid, etcd_request_compact(0), "no revision 0");
  fails(invalid, etcd_request_compact(-1), "no revision -1");
  fails(invalid, with(everything(etcd_request_delete(TEXT("a"))), ETCD_FIELD_IF_MOD_REVISION, 1), "many keys");
}

static void a_watch_of_nothing_is_refused(void) {
  etcd_request *watch = etcd_request_watch(TEXT("a"));
  etcd_watcher *watcher;
  with(with(watch, ETCD_FIELD_NO_PUTS, 1), ETCD_FIELD_NO_DELETES, 1);
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_watcher_open(client, watch, 20000, &watcher, NULL));
  etcd_request_free(watch);
}

static void opens_not(const char *endpoints, const char *option, const char *says) {
  etcd_options *options = etcd_options_new();
  etcd_client *none;
  etcd_error *error;
  DONE(etcd_options_set(options, "endpoints", endpoints, NULL));
  DONE(etcd_options_set(options, option, "me", NULL));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_client_open(options, &none, &error));
  doing = etcd_error_message(error);
  CHECK(strstr(doing, says) != NULL);
  etcd_error_free(error);
  etcd_options_free(options);
}

static void a_client_is_not_opened_with_nonsense(void) {
  opens_not("127.0.0.1", "user", "a user but no password");
  opens_not("127.0.0.1", "password", "a password but no user");
  opens_not("http://h/path", "token", "has no path");
  opens_not("http://u:pw@h:1", "token", "a user is no part of an endpoint");
  opens_not("[::1", "token", "the bracket is not closed");
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  alarm(240); /* a wait that never ends is a fault too */
  client = open_client(argv[1], (char *)NULL);
  wipe(client);
  RUN(a_guard_that_comes_too_late_is_never_left_out);
  RUN(so_are_a_comparison_and_a_field);
  RUN(and_what_was_submitted);
  RUN(a_queue_is_read_without_a_buffer);
  RUN(a_condition_that_does_not_hold_is_told_with_the_operation);
  RUN(a_refusal_says_what_to_do);
  RUN(nonsense_is_refused_by_its_name);
  RUN(a_watch_of_nothing_is_refused);
  RUN(a_client_is_not_opened_with_nonsense);
  DONE(etcd_client_close(client, 20000, NULL));
  return end();
}
