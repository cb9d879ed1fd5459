/* Watches: what they tell and in which order, through a queue and with etcd_watcher; parked, compacted, replaced.
   PROGRAM ENDPOINTS [progress|reset]   (mem://NAME, or servers of etcd that nobody else uses: all keys are deleted)
   progress: the server tells of it soon. reset: prints "live", and ends well when the cluster was replaced. */
#include "harness.h"

static etcd_client *client;
static etcd_watcher *watcher;

static etcd_request *watch_all(void) {
  return everything(etcd_request_watch(TEXT("w/")));
}

static etcd_request *with(etcd_request *request, int32_t field, int64_t value) {
  DONE(etcd_request_set_int(request, field, value));
  return request;
}

static void open_watcher(etcd_request *request) {
  DONE(etcd_watcher_open(client, request, 20000, &watcher, NULL));
  etcd_request_free(request);
}

static etcd_event *next(void) {
  etcd_event *event;
  DONE(etcd_watcher_next(watcher, 20000, &event));
  CHECK(etcd_event_tag(event) != 0);
  return event;
}

/* The next event is this state. Returns its revision. */
static int64_t state(int32_t wanted) {
  etcd_event *event = next();
  int64_t revision = etcd_event_revision(event);
  if (etcd_event_watch_state(event) != wanted) {
    fprintf(stderr, "kind %d, state %d: ", etcd_event_kind(event), etcd_event_watch_state(event));
  }
  CHECK(etcd_event_kind(event) == ETCD_EVENT_WATCH_STATE && etcd_event_watch_state(event) == wanted);
  CHECK(!etcd_event_is_last(event) && etcd_event_status(event) == ETCD_OK && etcd_event_reply(event) == NULL);
  etcd_event_free(event);
  return revision;
}

static int64_t state_after_live(int32_t wanted) {
  etcd_event *event = next();
  int64_t revision = etcd_event_revision(event);
  int32_t told = etcd_event_watch_state(event);
  CHECK(told == wanted || told == ETCD_WATCH_LIVE);
  etcd_event_free(event);
  return told == wanted ? revision : state(wanted);
}

/* The next event is the end, for this reason. */
static int64_t is_over(etcd_status why) {
  etcd_event *event = next();
  CHECK(etcd_event_kind(event) == ETCD_EVENT_WATCH_END && etcd_event_is_last(event));
  GIVES(why, etcd_event_status(event));
  GIVES(why, etcd_error_code(etcd_event_error(event)));
  int64_t compacted = etcd_error_compact_revision(etcd_event_error(event));
  etcd_event_free(event);
  GIVES(ETCD_ERR_CLOSED, etcd_watcher_next(watcher, 20000, &event));
  etcd_watcher_free(watcher);
  return compacted;
}

static void say_change(struct text *text, const etcd_reply *reply, size_t at) {
  etcd_kv kv, previous;
  DONE(etcd_reply_kv(reply, at, &kv, sizeof kv));
  CHECK(kv.kind == ETCD_KV_PUT || kv.kind == ETCD_KV_DELETE);
  say(text, "%s%.*s", text->length ? " " : "", (int)kv.key_len, (const char *)kv.key);
  if (kv.kind == ETCD_KV_PUT) {
    say(text, "=%.*s v%d", (int)kv.value_len, (const char *)kv.value, (int)kv.version);
  } else {
    CHECK(kv.value_len == 0 && kv.version == 0 && kv.create_revision == 0);
  }
  if (etcd_reply_previous(reply, at, &previous, sizeof previous) == ETCD_OK) {
    CHECK(previous.kind == ETCD_KV_PREVIOUS);
    say(text, " was %.*s", (int)previous.value_len, (const char *)previous.value);
  }
}

/* The next event is these changes, all of that revision. */
static void changes(int64_t revision, const char *wanted) {
  struct text text;
  etcd_kv kv;
  etcd_event *event = next();
  const etcd_reply *reply = etcd_event_reply(event);
  text.length = 0;
  text.bytes[0] = '\0';
  CHECK(etcd_event_kind(event) == ETCD_EVENT_CHANGES && etcd_event_watch_state(event) == 0);
  CHECK(etcd_event_revision(event) == revision && etcd_reply_revision(reply) == revision);
  CHECK((size_t)etcd_reply_count(reply) == etcd_reply_kvs(reply));
  for (size_t n = 0; n < etcd_reply_kvs(reply); n++) {
    say_change(&text, reply, n);
    DONE(etcd_reply_kv(reply, n, &kv, sizeof kv));
    CHECK(kv.mod_revision == revision);
  }
  if (strcmp(text.bytes, wanted)) {
    fprintf(stderr, "have: %s\nwant: %s\n", text.bytes, wanted);
    CHECK(!"the changes are those");
  }
  etcd_event_free(event);
}

static void nothing(void) {
  etcd_event *event;
  GIVES(ETCD_ERR_TIMEOUT, etcd_watcher_next(watcher, 0, &event));
}

static int64_t delete_key(const char *key) {
  return must_do(client, etcd_request_delete(TEXT(key)));
}

/* Several changes in one revision. */
static int64_t transaction(void) {
  etcd_request *txn = etcd_request_txn();
  etcd_request *ops[] = {etcd_request_put(TEXT("w/a"), TEXT("7")), etcd_request_delete(TEXT("w/b")),
                         etcd_request_put(TEXT("w/c"), TEXT("8")), etcd_request_put(TEXT("x"), TEXT("not seen"))};
  for (int n = 0; n < 4; n++) {
    DONE(etcd_txn_then(txn, ops[n]));
    etcd_request_free(ops[n]);
  }
  return must_do(client, txn);
}

/* == What is told ========================================================================================== */

static void tells_changes(void) {
  int64_t revision = put(client, "w/a", "1");
  open_watcher(watch_all());
  CHECK(state(ETCD_WATCH_LIVE) == revision + 1);
  nothing();
  changes(put(client, "w/a", "2"), "w/a=2 v2");
  changes(put(client, "w/b", "3"), "w/b=3 v1");
  put(client, "v", "not seen");
  changes(transaction(), "w/a=7 v3 w/b w/c=8 v1");
  changes(delete_key("w/c"), "w/c");
  etcd_watcher_wake(watcher);
  etcd_event *event;
  GIVES(ETCD_ERR_CANCELED, etcd_watcher_next(watcher, 20000, &event));
  changes(put(client, "w/a", ""), "w/a= v4");
  nothing();
  etcd_watcher_free(watcher);
  GIVES(ETCD_ERR_CLOSED, etcd_watcher_next(watcher, 20000, &event));

  /* From the past, and with what was before. */
  open_watcher(with(with(watch_all(), ETCD_FIELD_START_REVISION, revision), ETCD_FIELD_RETURN_PREVIOUS, 1));
  CHECK(state(ETCD_WATCH_LIVE) == revision);
  changes(revision, "w/a=1 v1");
  changes(revision + 1, "w/a=2 v2 was 1");
  changes(revision + 2, "w/b=3 v1");
  changes(revision + 4, "w/a=7 v3 was 2 w/b was 3 w/c=8 v1");
  changes(revision + 5, "w/c was 8");
  changes(revision + 6, "w/a= v4 was 7");
  etcd_watcher_free(watcher);
}

static void filters(void) {
  put(client, "w/a", "1");
  open_watcher(with(watch_all(), ETCD_FIELD_NO_PUTS, 1));
  state(ETCD_WATCH_LIVE);
  put(client, "w/a", "2");
  changes(delete_key("w/a"), "w/a");
  etcd_watcher_free(watcher);
  open_watcher(with(watch_all(), ETCD_FIELD_NO_DELETES, 1));
  state(ETCD_WATCH_LIVE);
  changes(put(client, "w/a", "1"), "w/a=1 v1");
  delete_key("w/a");
  changes(put(client, "w/a", "2"), "w/a=2 v1");
  etcd_watcher_free(watcher);

  etcd_request *range = etcd_request_watch(TEXT("w/b"));
  DONE(etcd_request_set_bytes(range, ETCD_FIELD_RANGE_END, TEXT("w/d")));
  open_watcher(range);
  state(ETCD_WATCH_LIVE);
  put(client, "w/a", "1");
  changes(put(client, "w/c", "2"), "w/c=2 v1");
  put(client, "w/d", "3");
  changes(put(client, "w/b", "4"), "w/b=4 v1");
  etcd_watcher_free(watcher);
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_call(client, range = watch_all(), 1000, NULL, NULL, NULL));
  etcd_request_free(range);
}

static void no_such_history(void) {
  int64_t first = put(client, "w/a", "1"), last = put(client, "w/a", "2");
  must_do(client, etcd_request_compact(last));
  open_watcher(with(watch_all(), ETCD_FIELD_START_REVISION, first));
  /* A server may confirm it first. */
  CHECK(state_after_live(ETCD_WATCH_COMPACTED) == last);
  CHECK(is_over(ETCD_ERR_COMPACTED) == last);
}

/* == Slow readers ========================================================================================== */

static char long_value[1000];

static void write_much(int keys) {
  char key[32];
  memset(long_value, 'v', sizeof long_value - 1);
  for (int n = 0; n < keys; n++) {
    snprintf(key, sizeof key, "w/%03d", n);
    put(client, key, long_value);
  }
}

static int64_t parked(void) {
  return etcd_client_counter(client, ETCD_COUNTER_WATCHES_PARKED);
}

static void wait_until_parked(int64_t before) {
  double until = now() + 20;
  while (parked() == before) {
    CHECK(now() < until);
    nap(0.001);
  }
}

/* With room for a few changes only, none is lost, and none comes twice. */
static void parks(void) {
  etcd_queue *queue = new_queue(5000);
  etcd_request *watch = watch_all();
  int64_t before = parked(), first = put(client, "w/a", "1");
  int states[8] = {0}, seen = 0;
  DONE(etcd_submit(client, queue, watch, 3, 20000, NULL));
  etcd_request_free(watch);
  etcd_event_free(next_event(queue));
  write_much(100);
  wait_until_parked(before);
  CHECK(etcd_queue_bytes(queue) > 0 && etcd_queue_bytes(queue) <= 5000);
  while (seen < 100) {
    etcd_event *event = next_event(queue);
    CHECK(etcd_event_tag(event) == 3 && etcd_queue_bytes(queue) <= 5000);
    states[etcd_event_watch_state(event)]++;
    if (etcd_event_kind(event) == ETCD_EVENT_CHANGES) {
      CHECK(etcd_event_revision(event) == first + ++seen);
    }
    etcd_event_free(event);
  }
  CHECK(states[ETCD_WATCH_PARKED] >= 1 && states[0] == 100);
  CHECK(states[ETCD_WATCH_LIVE] >= states[ETCD_WATCH_PARKED] && states[ETCD_WATCH_RESUMING] == 0);
  CHECK(parked() - before == states[ETCD_WATCH_PARKED] && etcd_queue_bytes(queue) == 0);
  /* It is live, and goes on. */
  write_much(1);
  int found = 0;
  while (!found) {
    etcd_event *event = next_event(queue);
    found = etcd_event_revision(event) == first + 101 && etcd_event_kind(event) == ETCD_EVENT_CHANGES;
    etcd_event_free(event);
  }
  etcd_queue_free(queue);
}

/* What a reader of a watch knows: its keys, as text. */
struct known {
  char keys[300][32];
  int64_t revisions[300];
  int count;
};

static void learn(struct known *known, const etcd_kv *kv) {
  int at = 0;
  while (at < known->count && (strlen(known->keys[at]) != kv->key_len || memcmp(known->keys[at], kv->key, kv->key_len))) {
    at++;
  }
  if (kv->kind == ETCD_KV_DELETE) {
    CHECK(at < known->count); /* nothing is deleted that was not there */
    known->count--;
    memmove(known->keys[at], known->keys[known->count], sizeof known->keys[at]);
    known->revisions[at] = known->revisions[known->count];
    return;
  }
  CHECK(at < 300 && kv->key_len < 32);
  CHECK(at == known->count || known->revisions[at] < kv->mod_revision); /* nothing is told twice */
  known->count += at == known->count;
  memcpy(known->keys[at], kv->key, kv->key_len);
  known->keys[at][kv->key_len] = '\0';
  known->revisions[at] = kv->mod_revision;
}

/* Takes events until what was told last is of this revision or later. Returns how many batches were differences. */
static int follow(etcd_queue *queue, struct known *known, int64_t until) {
  int resynced = 0;
  int compacted = 0;
  for (int64_t last = 0; last < until;) {
    etcd_event *event = next_event(queue);
    const etcd_reply *reply = etcd_event_reply(event);
    CHECK(!etcd_event_is_last(event));
    if (etcd_event_watch_state(event) == ETCD_WATCH_COMPACTED) {
      compacted++;
    }
    for (size_t n = 0; n < etcd_reply_kvs(reply); n++) {
      etcd_kv kv;
      DONE(etcd_reply_kv(reply, n, &kv, sizeof kv));
      learn(known, &kv);
    }
    if (etcd_event_watch_state(event) == ETCD_WATCH_RESYNCED) {
      CHECK(etcd_event_kind(event) == ETCD_EVENT_CHANGES && compacted == resynced + 1);
      resynced++;
    }
    last = reply && etcd_event_revision(event) > last ? etcd_event_revision(event) : last;
    etcd_event_free(event);
  }
  return resynced;
}

static void knows_what_there_is(const struct known *known) {
  etcd_reply *all = must(client, everything(etcd_request_get(TEXT("w/"))));
  CHECK(etcd_reply_count(all) == known->count);
  for (size_t n = 0; n < etcd_reply_kvs(all); n++) {
    etcd_kv kv;
    DONE(etcd_reply_kv(all, n, &kv, sizeof kv));
    int at = 0;
    while (at < known->count &&
           (strlen(known->keys[at]) != kv.key_len || memcmp(known->keys[at], kv.key, kv.key_len))) {
      at++;
    }
    CHECK(at < known->count && known->revisions[at] == kv.mod_revision);
  }
  etcd_reply_free(all);
}

/* One that comes too late is told the difference, and goes on. */
static void resyncs(void) {
  static struct known known;
  etcd_queue *queue = new_queue(5000);
  etcd_request *watch = with(watch_all(), ETCD_FIELD_RESYNC, 1);
  wipe(client);
  known.count = 0;
  for (int round = 0; round < 3; round++) {
    int64_t before = parked();
    if (round == 0) {
      DONE(etcd_submit(client, queue, watch, 3, 20000, NULL));
      etcd_event_free(next_event(queue));
    }
    write_much(50);
    wait_until_parked(before);
    /* Never seen: one that was there and goes, ones that come and go, one that changes. */
    delete_key("w/000");
    delete_key("w/040");
    put(client, "w/new", "1");
    put(client, "w/gone", "1");
    delete_key("w/gone");
    put(client, "w/001", "2");
    int64_t last = put(client, "w/last", "3");
    must_do(client, etcd_request_compact(last));
    CHECK(follow(queue, &known, last) == 1);
    knows_what_there_is(&known);
  }
  int64_t last = put(client, "w/new", "2");
  CHECK(follow(queue, &known, last) == 0);
  knows_what_there_is(&known);
  etcd_request_free(watch);
  etcd_queue_free(queue);
}

/* From a past that is gone: all there is, as what has changed. */
static void resyncs_from_the_past(void) {
  static struct known known;
  etcd_queue *queue = new_queue(0);
  wipe(client);
  int64_t first = put(client, "w/a", "1"), last = put(client, "w/b", "2");
  must_do(client, etcd_request_compact(last));
  etcd_request *watch = with(with(watch_all(), ETCD_FIELD_RESYNC, 1), ETCD_FIELD_START_REVISION, first);
  known.count = 0;
  DONE(etcd_submit(client, queue, watch, 3, 20000, NULL));
  CHECK(follow(queue, &known, last) == 1);
  last = delete_key("w/a");
  CHECK(follow(queue, &known, last) == 0);
  knows_what_there_is(&known);
  etcd_request_free(watch);
  etcd_queue_free(queue);
}

/* == Many ================================================================================================== */

#define MANY 1000

static void many_at_once(void) {
  etcd_queue *queue = new_queue(0);
  static int seen[MANY + 1];
  char key[32];
  int64_t connections = etcd_client_counter(client, ETCD_COUNTER_CONNECTIONS);
  memset(seen, 0, sizeof seen);
  for (int n = 1; n <= MANY; n++) {
    snprintf(key, sizeof key, "w/many/%d/", n);
    etcd_request *watch = everything(etcd_request_watch(TEXT(key)));
    DONE(etcd_submit(client, queue, watch, (uint64_t)n, 20000, NULL));
    etcd_request_free(watch);
  }
  CHECK(etcd_client_counter(client, ETCD_COUNTER_OPEN) == MANY);
  for (int n = 0; n < MANY; n++) {
    etcd_event *event = next_event(queue);
    CHECK(etcd_event_watch_state(event) == ETCD_WATCH_LIVE && !seen[etcd_event_tag(event)]++);
    etcd_event_free(event);
  }
  CHECK(etcd_client_counter(client, ETCD_COUNTER_CONNECTIONS) <= connections + 1);
  for (int n = 1; n <= MANY; n++) {
    snprintf(key, sizeof key, "w/many/%d/k", n);
    put(client, key, "v");
  }
  for (int n = 0; n < MANY; n++) {
    etcd_event *event = next_event(queue);
    CHECK(etcd_event_kind(event) == ETCD_EVENT_CHANGES && seen[etcd_event_tag(event)]++ == 1);
    etcd_event_free(event);
  }
  for (uint64_t tag = 1; tag <= MANY; tag++) {
    DONE(etcd_queue_cancel(queue, tag));
  }
  for (int n = 0; n < MANY; n++) {
    etcd_event *event = next_event(queue);
    CHECK(etcd_event_is_last(event) && seen[etcd_event_tag(event)]++ == 2);
    GIVES(ETCD_ERR_CANCELED, etcd_event_status(event));
    etcd_event_free(event);
  }
  CHECK(etcd_client_counter(client, ETCD_COUNTER_OPEN) == 0);
  etcd_queue_free(queue);
}

static void closing_ends_watches(void) {
  open_watcher(watch_all());
  state(ETCD_WATCH_LIVE);
  DONE(etcd_client_close(client, 10000, NULL));
  is_over(ETCD_ERR_CLOSED);
}

/* == With a server that does something ===================================================================== */

static void progresses(void) {
  int64_t revision = put(client, "v", "1");
  open_watcher(with(watch_all(), ETCD_FIELD_PROGRESS, 1));
  state(ETCD_WATCH_LIVE);
  CHECK(state(ETCD_WATCH_PROGRESS) >= revision);
  revision = put(client, "v", "2");
  while (state(ETCD_WATCH_PROGRESS) < revision) {
  }
  changes(put(client, "w/a", "1"), "w/a=1 v1");
  etcd_watcher_free(watcher);
}

static void is_reset(void) {
  put(client, "w/a", "1");
  open_watcher(watch_all());
  state(ETCD_WATCH_LIVE);
  printf("live\n");
  fflush(stdout);
  for (;;) {
    etcd_event *event = next();
    int32_t told = etcd_event_watch_state(event);
    CHECK(etcd_event_kind(event) == ETCD_EVENT_WATCH_STATE);
    CHECK(told != ETCD_WATCH_RESUMING || etcd_error_message(etcd_event_error(event)) != NULL);
    etcd_event_free(event);
    if (told == ETCD_WATCH_RESET) {
      break;
    }
    CHECK(told == ETCD_WATCH_RESUMING);
  }
  is_over(ETCD_ERR_OTHER_CLUSTER);
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: %s ENDPOINTS [progress|reset]\n", argv[0]);
    return 2;
  }
  alarm(240); /* a wait that never ends is a fault too */
  client = open_client(argv[1], (char *)NULL);
  wipe(client);
  if (argc > 2) {
    run(strcmp(argv[2], "reset") ? progresses : is_reset, argv[2]);
    DONE(etcd_client_close(client, 10000, NULL));
    return end();
  }
  RUN(tells_changes);
  RUN(filters);
  RUN(no_such_history);
  RUN(parks);
  RUN(resyncs);
  RUN(resyncs_from_the_past);
  if (strncmp(argv[1], "json", 4)) {
    RUN(many_at_once); /* by JSON, each has a connection and a thread */
  }
  RUN(closing_ends_watches);
  return end();
}
