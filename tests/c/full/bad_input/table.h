/* For bad_input.c: a row for each function, with what can be wrong with its arguments. */

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
