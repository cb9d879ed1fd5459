/* A reader of packed records, written from docs/packed-records.md alone: whatever is done for a queue that is drained
   with etcd_queue_read() is also done for one whose events are taken one by one, and both must tell the same.
   packed ENDPOINTS   Each run has keys of its own; the server's history is compacted. */
#include <etcd-api.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int checks;
static const char *doing = "";

static void check(int ok, const char *what, int line) {
  checks++;
  if (!ok) {
    fprintf(stderr, "packed.c:%d: %s, in: %s  [%d checks before]\n", line, what, doing, checks - 1);
    exit(1);
  }
}
#define CHECK(expression) check((expression) != 0, #expression, __LINE__)

/* Little-endian, on any machine. */
static uint64_t number(const uint8_t *at, int bytes) {
  uint64_t value = 0;
  while (bytes > 0) value = value << 8 | at[--bytes];
  return value;
}

typedef struct {
  uint32_t size, kind, flags;
  uint64_t tag;
  int32_t status, state, server_code;
  int64_t revision, count, lease, ttl;
  uint32_t kvs, message_len, endpoint_len;
  const uint8_t *first_kv, *message, *endpoint;
} record;

static record record_at(const uint8_t *at, size_t left) {
  record r;
  memset(&r, 0, sizeof r);
  CHECK(left >= 80 && at[4] == ETCD_PACKED_VERSION);
  r.size = (uint32_t)number(at, 4);
  CHECK(r.size >= 80 && r.size % 8 == 0 && r.size <= left);
  r.kind = at[5];
  r.flags = (uint32_t)number(at + 6, 2);
  r.tag = number(at + 8, 8);
  r.status = (int32_t)number(at + 16, 4);
  r.state = (int32_t)number(at + 20, 4);
  r.revision = (int64_t)number(at + 24, 8);
  r.count = (int64_t)number(at + 32, 8);
  r.lease = (int64_t)number(at + 40, 8);
  r.ttl = (int64_t)number(at + 48, 8);
  r.kvs = (uint32_t)number(at + 56, 4);
  r.first_kv = at + number(at + 60, 4);
  r.message = at + number(at + 64, 4);
  r.message_len = (uint32_t)number(at + 68, 4);
  r.endpoint_len = (uint32_t)number(at + 72, 4);
  r.endpoint = r.message + r.message_len;
  r.server_code = (int32_t)number(at + 76, 4);
  CHECK(r.endpoint + r.endpoint_len <= at + r.size);
  return r;
}

static const uint8_t *kv_at(const uint8_t *at, etcd_kv *kv) {
  memset(kv, 0, sizeof *kv);
  kv->kind = (uint32_t)number(at + 4, 2);
  kv->key = at + number(at + 6, 2);
  kv->key_len = (size_t)number(at + 8, 4);
  kv->value_len = (size_t)number(at + 12, 4);
  kv->value = kv->key + kv->key_len;
  kv->create_revision = (int64_t)number(at + 16, 8);
  kv->mod_revision = (int64_t)number(at + 24, 8);
  kv->version = (int64_t)number(at + 32, 8);
  kv->lease = (int64_t)number(at + 40, 8);
  CHECK(number(at, 4) % 8 == 0);
  return at + number(at, 4);
}

/* The same done twice has other revisions and leases. */
static int twice;

static int same_number(int64_t one, int64_t other) { return twice ? (one > 0) == (other > 0) : one == other; }

static void same_kv(const etcd_kv *one, const etcd_kv *other) {
  CHECK(one->kind == other->kind && one->key_len == other->key_len && one->value_len == other->value_len);
  CHECK(memcmp(one->key, other->key, one->key_len) == 0 && memcmp(one->value, other->value, one->value_len) == 0);
  CHECK(same_number(one->version, other->version) && same_number(one->lease, other->lease));
  CHECK(same_number(one->create_revision, other->create_revision));
  CHECK(same_number(one->mod_revision, other->mod_revision));
}

static int64_t field(const etcd_reply *reply, int32_t field) {
  int64_t value = 0;
  etcd_reply_int(reply, field, &value);
  return value;
}

static void same_replies(const etcd_reply *one, const etcd_reply *other) {
  etcd_kv a, b;
  CHECK(etcd_reply_succeeded(one) == etcd_reply_succeeded(other) && etcd_reply_count(one) == etcd_reply_count(other));
  CHECK(etcd_reply_children(one) == etcd_reply_children(other) && etcd_reply_kvs(one) == etcd_reply_kvs(other));
  for (size_t i = 0; etcd_reply_kv(one, i, &a, sizeof a) == ETCD_OK; i++) {
    CHECK(etcd_reply_kv(other, i, &b, sizeof b) == ETCD_OK);
    same_kv(&a, &b);
  }
  for (size_t i = 0; i < etcd_reply_children(one); i++) {
    same_replies(etcd_reply_child(one, i), etcd_reply_child(other, i));
  }
}

static etcd_queue *by_event, *by_record;

static void same(const etcd_event *event, const record *r) {
  const etcd_reply *reply = etcd_event_reply(event);
  const etcd_error *error = etcd_event_error(event);
  etcd_kv kv, packed;
  size_t i;
  uint32_t seen = 0;
  const uint8_t *at = r->first_kv;
  CHECK(r->tag == etcd_event_tag(event) && (int32_t)r->kind == etcd_event_kind(event));
  CHECK(!(r->flags & ETCD_PACKED_LAST) == !etcd_event_is_last(event));
  CHECK(r->status == etcd_event_status(event) && r->state == etcd_event_watch_state(event));
  CHECK(same_number(r->revision, etcd_error_compact_revision(error) + etcd_event_revision(event)));
  CHECK(!(r->flags & ETCD_PACKED_RETRIABLE) == !etcd_error_is_retriable(error));
  CHECK(!(r->flags & ETCD_PACKED_OUTCOME_UNKNOWN) == !etcd_error_is_outcome_unknown(error));
  CHECK(r->server_code == etcd_error_server_code(error));
  if (error) {
    const char *message = etcd_error_message(error), *endpoint = etcd_error_endpoint(error);
    CHECK(r->message_len == strlen(message) && memcmp(r->message, message, r->message_len) == 0);
    CHECK(r->endpoint_len == (endpoint ? strlen(endpoint) : 0));
    CHECK(r->endpoint_len == 0 || memcmp(r->endpoint, endpoint, r->endpoint_len) == 0);
  } else {
    CHECK(r->message_len == 0 && r->endpoint_len == 0);
  }
  CHECK(!(r->flags & ETCD_PACKED_SUCCEEDED) == !etcd_reply_succeeded(reply));
  if (r->flags & ETCD_PACKED_TAKE) {
    etcd_reply *taken = NULL;
    CHECK(r->kvs == 0 && etcd_queue_take_reply(by_record, r->tag, &taken) == ETCD_OK);
    same_replies(reply, taken);
    etcd_reply_free(taken);
    CHECK(etcd_queue_take_reply(by_record, r->tag, &taken) == ETCD_ERR_KEY_NOT_FOUND);
    return;
  }
  CHECK(!(r->flags & ETCD_PACKED_MORE) == !etcd_reply_more(reply) && r->count == etcd_reply_count(reply));
  CHECK(same_number(r->lease, field(reply, ETCD_FIELD_LEASE)));
  CHECK(r->ttl == field(reply, ETCD_FIELD_TTL));
  for (i = 0; etcd_reply_kv(reply, i, &kv, sizeof kv) == ETCD_OK; i++) {
    at = kv_at(at, &packed);
    same_kv(&kv, &packed);
    seen++;
    if (r->kind == ETCD_EVENT_CHANGES && etcd_reply_previous(reply, i, &kv, sizeof kv) == ETCD_OK) {
      at = kv_at(at, &packed); /* right behind the change that replaced it */
      same_kv(&kv, &packed);
      seen++;
    }
  }
  for (i = 0; r->kind == ETCD_EVENT_REPLY && etcd_reply_previous(reply, i, &kv, sizeof kv) == ETCD_OK; i++) {
    at = kv_at(at, &packed);
    same_kv(&kv, &packed);
    seen++;
  }
  CHECK(seen == r->kvs && (seen == 0 || at == r->message));
}

static uint64_t room[1 << 15]; /* aligned to 8 bytes */

/* The next event of one queue, and the next record of the other one; returns what the event is. */
static int32_t compare(void) {
  etcd_event *event = NULL;
  size_t used = 0;
  uint32_t records = 0;
  CHECK(etcd_queue_next(by_event, 10000, &event) == ETCD_OK);
  struct pollfd fd = {etcd_queue_fd(by_record), POLLIN, 0};
  CHECK(poll(&fd, 1, 10000) == 1);
  /* Room for one and no more. */
  CHECK(etcd_queue_read(by_record, (uint8_t *)room, 8, &used, &records) == ETCD_ERR_TOO_LARGE && records == 0);
  size_t needed = used;
  CHECK(needed <= sizeof room);
  CHECK(etcd_queue_read(by_record, (uint8_t *)room, needed, &used, &records) == ETCD_OK);
  CHECK(records == 1 && used == needed);
  record r = record_at((uint8_t *)room, used);
  CHECK(r.size == used);
  same(event, &r);
  int32_t what = etcd_event_kind(event) == ETCD_EVENT_WATCH_STATE ? 100 + r.state : etcd_event_kind(event);
  etcd_event_free(event);
  return what;
}

static etcd_session client;
static uint64_t last_tag;

static void submit(etcd_queue *queue, etcd_request *request) {
  CHECK(etcd_submit(client, queue, request, last_tag, 10000, NULL) == ETCD_OK);
  etcd_request_free(request);
}

/* The same request for both, or two that change the same, one after the other. */
static void both(const char *what, etcd_request *one, etcd_request *other) {
  doing = what;
  last_tag++;
  twice = other != NULL;
  if (twice) {
    struct pollfd fd = {etcd_queue_fd(by_event), POLLIN, 0};
    submit(by_event, one);
    CHECK(poll(&fd, 1, 10000) == 1);
    submit(by_record, other);
  } else {
    CHECK(etcd_submit(client, by_event, one, last_tag, 10000, NULL) == ETCD_OK);
    submit(by_record, one);
  }
}

static void done(const char *what, etcd_request *one, etcd_request *other) {
  both(what, one, other);
  CHECK(compare() == ETCD_EVENT_REPLY);
  twice = 0;
}

static char prefix[64];

static etcd_request *with(etcd_request *request, int32_t field, int64_t value) {
  CHECK(etcd_request_set_int(request, field, value) == ETCD_OK);
  return request;
}

/* This run's key of that name. */
static const uint8_t *key(const char *name, size_t *len) {
  static char text[128];
  *len = (size_t)snprintf(text, sizeof text, "%s%s", prefix, name);
  return (const uint8_t *)text;
}

static etcd_request *get(const char *name) {
  size_t len;
  const uint8_t *at = key(name, &len);
  return etcd_request_get(at, len);
}

static etcd_request *put(const char *name, const char *value) {
  size_t len;
  const uint8_t *at = key(name, &len);
  return with(etcd_request_put(at, len, (const uint8_t *)value, strlen(value)), ETCD_FIELD_RETURN_PREVIOUS, 1);
}

static etcd_request *delete_(const char *name) {
  size_t len;
  const uint8_t *at = key(name, &len);
  return with(with(etcd_request_delete(at, len), ETCD_FIELD_RETURN_PREVIOUS, 1), ETCD_FIELD_PREFIX, 1);
}

static etcd_request *watch(int64_t from) {
  etcd_request *request = etcd_request_watch((const uint8_t *)prefix, strlen(prefix));
  with(with(request, ETCD_FIELD_PREFIX, 1), ETCD_FIELD_RETURN_PREVIOUS, 1);
  return with(request, ETCD_FIELD_START_REVISION, from);
}

static etcd_request *txn(void) {
  etcd_request *request = etcd_request_txn(), *inner = etcd_request_txn();
  etcd_request *ops[] = {get("a"), put("t", "1"), inner};
  etcd_txn_then(inner, ops[0]);
  for (int i = 0; i < 3; i++) {
    CHECK(etcd_txn_then(request, ops[i]) == ETCD_OK);
    etcd_request_free(ops[i]);
  }
  return request;
}

/* Runs it beside the queues; returns the revision. */
static int64_t call(etcd_request *request) {
  etcd_reply *reply = NULL;
  CHECK(etcd_call(client, request, 10000, NULL, &reply, NULL) == ETCD_OK);
  int64_t revision = etcd_reply_revision(reply);
  etcd_reply_free(reply);
  etcd_request_free(request);
  return revision;
}

static void puts_deletions_and_reads(void) {
  done("a put", put("a", "1"), put("b", "1"));
  call(delete_(""));
  call(put("a", "1"));
  call(put("b", "1"));
  done("a get", get("a"), NULL);
  done("a range", with(get(""), ETCD_FIELD_PREFIX, 1), NULL);
  done("a range with a limit", with(with(get(""), ETCD_FIELD_PREFIX, 1), ETCD_FIELD_LIMIT, 1), NULL);
  done("a count", with(with(get(""), ETCD_FIELD_PREFIX, 1), ETCD_FIELD_COUNT_ONLY, 1), NULL);
  done("nothing", get("none"), NULL);
  done("no deletion", delete_("none"), NULL);
  done("a put over another", put("a", "1"), put("a", "1"));
  done("a put for a time", with(put("ttl", "x"), ETCD_FIELD_TTL, 100), with(put("for", "x"), ETCD_FIELD_TTL, 100));
  doing = "deletions";
  last_tag++;
  twice = 1;
  submit(by_event, delete_(""));
  struct pollfd fd = {etcd_queue_fd(by_event), POLLIN, 0};
  CHECK(poll(&fd, 1, 10000) == 1);
  call(put("a", "1"));
  call(put("b", "1"));
  call(with(put("for", "x"), ETCD_FIELD_TTL, 100));
  call(with(put("ttl", "x"), ETCD_FIELD_TTL, 100));
  submit(by_record, delete_(""));
  CHECK(compare() == ETCD_EVENT_REPLY);
  twice = 0;
}

static void failures(void) {
  int64_t now = call(put("f", "1"));
  done("a condition", with(put("f", "2"), ETCD_FIELD_IF_ABSENT, 1), NULL);
  done("the future", with(get("f"), ETCD_FIELD_REVISION, now + 1000000), NULL);
  done("a lease that is not there", etcd_request_lease_revoke(12345), NULL);
  call(etcd_request_compact(now));
  done("the past", with(get("f"), ETCD_FIELD_REVISION, now - 1), NULL);
  both("a watch of the past", watch(1), NULL);
  int32_t what = compare();
  if (what == 100 + ETCD_WATCH_LIVE) what = compare();
  CHECK(what == 100 + ETCD_WATCH_COMPACTED && compare() == ETCD_EVENT_WATCH_END);
  both("a watch of the past that catches up", with(watch(1), ETCD_FIELD_RESYNC, 1), NULL);
  what = compare();
  if (what == 100 + ETCD_WATCH_LIVE) what = compare();
  CHECK(what == 100 + ETCD_WATCH_COMPACTED && compare() == ETCD_EVENT_CHANGES && compare() == 100 + ETCD_WATCH_LIVE);
  CHECK(etcd_queue_cancel(by_event, last_tag) == ETCD_OK && etcd_queue_cancel(by_record, last_tag) == ETCD_OK);
  CHECK(compare() == ETCD_EVENT_WATCH_END);
  etcd_session good = client;
  client = etcd_open_str("127.0.0.1:1");
  done("nobody there", get("a"), NULL);
  CHECK(etcd_client_close(client, 10000, NULL) == ETCD_OK);
  client = good;
}

static void others(void) {
  int64_t lease = 4711 + (int64_t)getpid() * 1000000;
  done("a grant", etcd_request_lease_grant(100), etcd_request_lease_grant(100));
  call(with(etcd_request_lease_grant(100), ETCD_FIELD_LEASE, lease));
  done("a keep-alive", etcd_request_lease_keep_alive(lease), NULL);
  done("a lease", with(etcd_request_lease_ttl(lease), ETCD_FIELD_KEYS, 1), NULL);
  call(etcd_request_lease_revoke(lease));
  done("no lease", etcd_request_lease_ttl(lease), NULL);
  done("members", etcd_request_members(), NULL);
  done("how it is", etcd_request_status(), NULL);
  call(put("t", "1"));
  done("a transaction", txn(), txn());
}

/* What changes are told, and in what order, is the same for all who watch. */
static void watches(void) {
  both("a watch", watch(0), NULL);
  uint64_t tag = last_tag;
  CHECK(compare() == 100 + ETCD_WATCH_LIVE);
  call(put("w", "1"));
  call(put("w", "2"));
  CHECK(compare() == ETCD_EVENT_CHANGES && compare() == ETCD_EVENT_CHANGES);
  call(txn());
  CHECK(compare() == ETCD_EVENT_CHANGES);
  call(delete_(""));
  CHECK(compare() == ETCD_EVENT_CHANGES);
  doing = "the end of a watch";
  CHECK(etcd_queue_cancel(by_event, tag) == ETCD_OK && etcd_queue_cancel(by_record, tag) == ETCD_OK);
  CHECK(compare() == ETCD_EVENT_WATCH_END);
}

/* Many records in one buffer, of which some do not fit: all of them come, each once. */
static void many(void) {
  enum { COUNT = 500 };
  static char seen[COUNT + 1];
  size_t used;
  uint32_t records, in_one = 0;
  doing = "many";
  for (uint64_t tag = 1; tag <= COUNT; tag++) {
    etcd_request *request = get(tag % 2 ? "none" : "also none");
    CHECK(etcd_submit(client, by_record, request, tag, 10000, NULL) == ETCD_OK);
    etcd_request_free(request);
  }
  struct pollfd fd = {etcd_queue_fd(by_record), POLLIN, 0};
  for (int left = COUNT; left > 0;) {
    CHECK(poll(&fd, 1, 10000) == 1);
    CHECK(etcd_queue_read(by_record, (uint8_t *)room, 1000, &used, &records) == ETCD_OK && records > 0);
    const uint8_t *at = (uint8_t *)room, *end = at + used;
    for (uint32_t i = 0; i < records; i++) {
      record r = record_at(at, (size_t)(end - at));
      CHECK(r.tag >= 1 && r.tag <= COUNT && !seen[r.tag]++ && r.status == ETCD_OK);
      at += r.size;
    }
    CHECK(at == end);
    left -= (int)records;
    in_one = records > in_one ? records : in_one;
  }
  CHECK(in_one > 1);
  CHECK(etcd_queue_read(by_record, (uint8_t *)room, 1000, &used, &records) == ETCD_OK && records == 0 && used == 0);
  CHECK(poll(&fd, 1, 0) == 0);
  CHECK(etcd_queue_read(by_record, (uint8_t *)room + 1, 999, &used, &records) == ETCD_ERR_INVALID_ARGUMENT);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  snprintf(prefix, sizeof prefix, "packed-%ld-%ld/", (long)getpid(), (long)time(NULL));
  client = etcd_open_str(argv[1]);
  CHECK(client != NULL);
  CHECK(etcd_queue_new(0, &by_event, NULL) == ETCD_OK && etcd_queue_new(0, &by_record, NULL) == ETCD_OK);
  puts_deletions_and_reads();
  failures();
  others();
  watches();
  many();
  etcd_queue_free(by_event);
  etcd_queue_free(by_record);
  CHECK(etcd_client_close(client, 10000, NULL) == ETCD_OK);
  printf("%d checks\n", checks);
  return 0;
}
