/* What is refused, and stays refused, and what its error says.   misuse ENDPOINTS */
#include "harness.h"

static etcd_client *client;

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

int main(int argc, char **argv) {
  CHECK(argc == 2);
  alarm(240); /* a wait that never ends is a fault too */
  client = open_client(argv[1], (char *)NULL);
  wipe(client);
  RUN(a_guard_that_comes_too_late_is_never_left_out);
  RUN(so_are_a_comparison_and_a_field);
  RUN(and_what_was_submitted);
  RUN(a_queue_is_read_without_a_buffer);
  DONE(etcd_client_close(client, 20000, NULL));
  return end();
}
