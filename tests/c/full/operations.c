/* Every operation with one answer, in each way there is to run it: called, and queued, with its answer taken as an event
   and as a packed record. All ways must tell the same, and what they should.
   PROGRAM ENDPOINTS [USER PASSWORD]   (mem://NAME, or servers of etcd that nobody else uses: all keys are deleted) */
#include "harness.h"

static etcd_client *client;
static etcd_queue *queue;
/* The revision before the first key, and a lease. */
static int64_t base, lease;

/* == Requests as words ====================================================================================== */

/* get KEY, put KEY VALUE, delete KEY, txn if TARGET KEY RELATION VALUE … then OPERATION ; … else OPERATION ; … end …
   and fields: NAME or NAME=VALUE. FIRST | OPERATION does the first one beforehand. A number @N is the Nth revision of the case, $ the lease; "_" is no bytes at all. */
static const char *rest;
static char word[64];

static const char *next_word(void) {
  size_t length;
  rest += strspn(rest, " ");
  length = strcspn(rest, " ");
  CHECK(length < sizeof word);
  memcpy(word, rest, length);
  word[length] = '\0';
  rest += length;
  return word;
}

static int next_is(const char *wanted) {
  const char *before = rest;
  if (strcmp(next_word(), wanted) == 0) {
    return 1;
  }
  rest = before;
  return 0;
}

static int64_t number(const char *text) {
  if (text[0] == '@') {
    return base + atoll(text + 1);
  }
  return text[0] == '$' ? lease : atoll(text);
}

static size_t size_of_bytes(const char *text) {
  return strcmp(text, "_") == 0 ? 0 : strlen(text);
}

static const struct field {
  const char *name;
  int32_t field;
} numbers[] = {
  {"prefix", ETCD_FIELD_PREFIX},
  {"limit", ETCD_FIELD_LIMIT},
  {"revision", ETCD_FIELD_REVISION},
  {"sort", ETCD_FIELD_SORT_BY},
  {"order", ETCD_FIELD_SORT_ORDER},
  {"keys-only", ETCD_FIELD_KEYS_ONLY},
  {"count-only", ETCD_FIELD_COUNT_ONLY},
  {"serializable", ETCD_FIELD_SERIALIZABLE},
  {"min-mod", ETCD_FIELD_MIN_MOD_REVISION},
  {"max-mod", ETCD_FIELD_MAX_MOD_REVISION},
  {"min-create", ETCD_FIELD_MIN_CREATE_REVISION},
  {"max-create", ETCD_FIELD_MAX_CREATE_REVISION},
  {"lease", ETCD_FIELD_LEASE},
  {"ttl", ETCD_FIELD_TTL},
  {"if-absent", ETCD_FIELD_IF_ABSENT},
  {"if-present", ETCD_FIELD_IF_PRESENT},
  {"if-mod", ETCD_FIELD_IF_MOD_REVISION},
  {"if-create", ETCD_FIELD_IF_CREATE_REVISION},
  {"previous", ETCD_FIELD_RETURN_PREVIOUS},
  {"ignore-value", ETCD_FIELD_IGNORE_VALUE},
  {"ignore-lease", ETCD_FIELD_IGNORE_LEASE},
  {"physical", ETCD_FIELD_PHYSICAL},
  {"keys", ETCD_FIELD_KEYS},
}, texts[] = {
  {"end", ETCD_FIELD_RANGE_END},
  {"if-value", ETCD_FIELD_IF_VALUE},
};

/* Sets the field that a word is; a field may be one that the request does not have. */
static void set_field(etcd_request *request) {
  const char *value = strchr(word, '=');
  size_t length = value ? (size_t)(value - word) : strlen(word);
  value = value ? value + 1 : "1";
  for (size_t n = 0; n < sizeof texts / sizeof *texts; n++) {
    if (strlen(texts[n].name) == length && strncmp(texts[n].name, word, length) == 0) {
      etcd_request_set_bytes(request, texts[n].field, bytes(strcmp(value, "_") ? value : ""),
                             strcmp(value, "_") ? strlen(value) : 1);
      return;
    }
  }
  for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
    if (strlen(numbers[n].name) == length && strncmp(numbers[n].name, word, length) == 0) {
      etcd_request_set_int(request, numbers[n].field, number(value));
      return;
    }
  }
  fprintf(stderr, "what is %s?\n", word);
  exit(1);
}

static void fields(etcd_request *request) {
  for (;;) {
    const char *before = rest;
    next_word();
    if (!*word || !strcmp(word, ";") || !strcmp(word, "|") || !strcmp(word, "if") || !strcmp(word, "then") || !strcmp(word, "else") ||
        !strcmp(word, "end")) {
      rest = before;
      return;
    }
    set_field(request);
  }
}

static int32_t place_in(const char *words, const char *wanted) {
  int32_t place = 0;
  size_t length = strlen(wanted);
  for (; *words; place++) {
    size_t one = strcspn(words, " ");
    if (one == length && strncmp(words, wanted, length) == 0) {
      return place;
    }
    words += one + (words[one] == ' ');
  }
  fprintf(stderr, "what is %s?\n", wanted);
  exit(1);
}

static void compare(etcd_request *txn) {
  int32_t target = place_in("version create mod value lease", next_word());
  char key[sizeof word];
  strcpy(key, next_word());
  int32_t relation = place_in("= > < !=", next_word());
  next_word();
  if (target == 3) {
    DONE(etcd_txn_compare_value(txn, bytes(key), size_of_bytes(key), relation, TEXT(word)));
  } else {
    DONE(etcd_txn_compare_int(txn, bytes(key), size_of_bytes(key), target, relation, number(word)));
  }
  fields(txn);
}

static etcd_request *operation(void);

static etcd_request *transaction(void) {
  etcd_request *txn = etcd_request_txn();
  while (next_is("if")) {
    compare(txn);
  }
  for (int otherwise = 0; otherwise < 2; otherwise++) {
    if (!next_is(otherwise ? "else" : "then")) {
      continue;
    }
    do {
      etcd_request *op = operation();
      if (otherwise) {
        etcd_txn_else(txn, op);
      } else {
        etcd_txn_then(txn, op);
      }
      etcd_request_free(op);
    } while (next_is(";"));
  }
  CHECK(next_is("end"));
  return txn;
}

static const char *user, *password;

static etcd_request *other(const char *name) {
  if (!strcmp(name, "compact")) {
    return etcd_request_compact(number(next_word()));
  } else if (!strcmp(name, "grant")) {
    return etcd_request_lease_grant(number(next_word()));
  } else if (!strcmp(name, "revoke")) {
    return etcd_request_lease_revoke(number(next_word()));
  } else if (!strcmp(name, "keep-alive")) {
    return etcd_request_lease_keep_alive(number(next_word()));
  } else if (!strcmp(name, "lease-ttl")) {
    return etcd_request_lease_ttl(number(next_word()));
  } else if (!strcmp(name, "leases")) {
    return etcd_request_leases();
  } else if (!strcmp(name, "members")) {
    return etcd_request_members();
  } else if (!strcmp(name, "status")) {
    return etcd_request_status();
  } else if (!strcmp(name, "sync-members")) {
    return etcd_request_sync_members();
  } else if (!strcmp(name, "hash")) {
    return etcd_request_hash(0);
  } else if (!strcmp(name, "authenticate")) {
    return etcd_request_authenticate(TEXT(user), TEXT(password));
  } else if (!strcmp(name, "authenticate-wrongly")) {
    return etcd_request_authenticate(TEXT(user), TEXT("not that"));
  }
  CHECK(!strcmp(name, "alarm"));
  int32_t action = place_in("list raise disarm", next_word());
  return etcd_request_alarm(action, 0, place_in("any no-space corrupt", next_word()));
}

/* A value that no server takes with its default limits. */
static etcd_request *too_large(void) {
  size_t size = 2 << 20;
  uint8_t *value = (uint8_t *)calloc(1, size);
  etcd_request *request = etcd_request_put(TEXT("a"), value, size);
  free(value);
  return request;
}

static etcd_request *operation(void) {
  char name[sizeof word], key[sizeof word];
  etcd_request *request;
  strcpy(name, next_word());
  if (!strcmp(name, "txn")) {
    request = transaction();
  } else if (!strcmp(name, "get") || !strcmp(name, "delete")) {
    next_word();
    request = (name[0] == 'g' ? etcd_request_get : etcd_request_delete)(bytes(word), size_of_bytes(word));
  } else if (!strcmp(name, "put")) {
    strcpy(key, next_word());
    next_word();
    request = etcd_request_put(bytes(key), size_of_bytes(key), bytes(word), size_of_bytes(word));
  } else {
    request = strcmp(name, "put-too-much") ? other(name) : too_large();
  }
  fields(request);
  return request;
}

static etcd_request *request_of(const char *words) {
  rest = words;
  etcd_request *request = operation();
  CHECK(strspn(rest, " ") == strlen(rest));
  return request;
}

/* == Answers as words ======================================================================================= */

/* What all ways know: no more than a packed record carries. */
struct answer {
  etcd_status status;
  int retriable, unknown, more, succeeded;
  int32_t server_code;
  int64_t revision, count, lease, ttl;
  struct text keys, message, endpoint;
};

/* Revisions of the case; 0 and others are what they are. */
static int64_t shown(int64_t revision) {
  return revision >= base ? revision - base : revision ? -revision : 0;
}

static const char *shown_lease(int64_t id) {
  static char text[32];
  snprintf(text, sizeof text, "%lld", (long long)id);
  return id == 0 ? "none" : id == lease ? "$" : id < 1000 ? text : "new";
}

static void say_kv(struct text *text, const etcd_kv *kv) {
  static const char *const kinds[] = {"", "put ", "deleted ", "was "};
  CHECK(kv->kind < 4 && kv->reserved == 0);
  say(text, " [%s%.*s=%.*s c%lld m%lld v%lld", kinds[kv->kind], (int)kv->key_len, (const char *)kv->key,
      (int)kv->value_len, (const char *)kv->value, (long long)shown(kv->create_revision),
      (long long)shown(kv->mod_revision), (long long)kv->version);
  if (kv->lease) {
    say(text, " l%s", shown_lease(kv->lease));
  }
  say(text, "]");
}

static void say_keys(struct text *text, const etcd_reply *reply) {
  etcd_kv kv;
  size_t count = etcd_reply_kvs(reply), n;
  for (n = 0; n < count; n++) {
    DONE(etcd_reply_kv(reply, n, &kv, sizeof kv));
    say_kv(text, &kv);
  }
  GIVES(ETCD_ERR_KEY_NOT_FOUND, etcd_reply_kv(reply, count, &kv, sizeof kv));
  for (n = 0; etcd_reply_previous(reply, n, &kv, sizeof kv) == ETCD_OK; n++) {
    say_kv(text, &kv);
  }
}

static const struct field told[] = {
  {"granted", ETCD_FIELD_GRANTED_TTL},
  {"learner", ETCD_FIELD_IS_LEARNER},
  {"status", ETCD_FIELD_STATUS},
  {"alarm", ETCD_FIELD_ALARM},
}, there[] = {
  {"member", ETCD_FIELD_MEMBER},
  {"leader", ETCD_FIELD_LEADER},
  {"hash", ETCD_FIELD_HASH},
}, said[] = {
  {"name", ETCD_FIELD_NAME},
  {"version", ETCD_FIELD_VERSION},
  {"endpoint", ETCD_FIELD_ENDPOINT},
  {"clients", ETCD_FIELD_CLIENT_URLS},
  {"token", ETCD_FIELD_TOKEN},
};

/* What a packed record leaves to the reply. */
static void say_fields(struct text *text, const etcd_reply *reply, int is_child) {
  int64_t value;
  const uint8_t *data;
  size_t length, n;
  for (n = 0; n < sizeof told / sizeof *told; n++) {
    if (etcd_reply_int(reply, told[n].field, &value) == ETCD_OK) {
      say(text, " %s=%lld", told[n].name, (long long)value);
    }
  }
  for (n = 0; n < sizeof there / sizeof *there; n++) {
    if ((is_child || there[n].field == ETCD_FIELD_HASH) && etcd_reply_int(reply, there[n].field, &value) == ETCD_OK) {
      say(text, " %s%s", value ? "" : "no ", there[n].name);
    }
  }
  for (n = 0; n < sizeof said / sizeof *said; n++) {
    if (etcd_reply_bytes(reply, said[n].field, &data, &length) == ETCD_OK) {
      say(text, " %s", said[n].name);
      CHECK(length > 0 || said[n].field == ETCD_FIELD_NAME);
    }
  }
  if (is_child && etcd_reply_int(reply, ETCD_FIELD_LEASE, &value) == ETCD_OK) {
    say(text, " lease=%s", shown_lease(value));
  }
}

static void say_children(struct text *text, const etcd_reply *reply) {
  size_t count = etcd_reply_children(reply);
  for (size_t n = 0; n < count; n++) {
    const etcd_reply *child = etcd_reply_child(reply, n);
    say(text, " (n%lld", (long long)etcd_reply_count(child));
    say(text, "%s%s", etcd_reply_more(child) ? " more" : "", etcd_reply_succeeded(child) ? " yes" : "");
    say_keys(text, child);
    say_fields(text, child, 1);
    say_children(text, child);
    say(text, ")");
  }
  CHECK(etcd_reply_child(reply, count) == NULL);
}

static void of_reply(struct answer *answer, const etcd_reply *reply) {
  answer->revision = etcd_reply_revision(reply);
  answer->count = etcd_reply_count(reply);
  answer->more = etcd_reply_more(reply);
  answer->succeeded = etcd_reply_succeeded(reply);
  etcd_reply_int(reply, ETCD_FIELD_LEASE, &answer->lease);
  etcd_reply_int(reply, ETCD_FIELD_TTL, &answer->ttl);
  say_keys(&answer->keys, reply);
  say_fields(&answer->keys, reply, 0);
  say_children(&answer->keys, reply);
}

static void of_error(struct answer *answer, const etcd_error *error) {
  GIVES(answer->status, etcd_error_code(error));
  answer->retriable = etcd_error_is_retriable(error);
  answer->unknown = etcd_error_is_outcome_unknown(error);
  answer->server_code = etcd_error_server_code(error);
  answer->revision = etcd_error_compact_revision(error);
  say(&answer->message, "%s", etcd_error_message(error));
  say(&answer->endpoint, "%s", etcd_error_endpoint(error) ? etcd_error_endpoint(error) : "");
}

/* == The ways to an answer ================================================================================== */

static void called(const etcd_request *request, struct answer *answer) {
  etcd_reply *reply;
  etcd_error *error;
  answer->status = etcd_call(client, request, 20000, NULL, &reply, &error);
  CHECK((answer->status == ETCD_OK) == (reply != NULL) && (answer->status == ETCD_OK) == (error == NULL));
  if (reply) {
    of_reply(answer, reply);
  } else {
    of_error(answer, error);
  }
  etcd_reply_free(reply);
  etcd_error_free(error);
}

/* Whether it was refused at once: then no event comes. */
static int submitted(const etcd_request *request, uint64_t tag, struct answer *answer) {
  etcd_error *error;
  answer->status = etcd_submit(client, queue, request, tag, 20000, &error);
  if (answer->status != ETCD_OK) {
    of_error(answer, error);
    etcd_error_free(error);
    return 0;
  }
  return 1;
}

static void queued(const etcd_request *request, struct answer *answer) {
  if (!submitted(request, 7, answer)) {
    return;
  }
  etcd_event *event = next_event(queue);
  CHECK(etcd_event_tag(event) == 7 && etcd_event_kind(event) == ETCD_EVENT_REPLY && etcd_event_is_last(event));
  answer->status = etcd_event_status(event);
  const etcd_reply *reply = etcd_event_reply(event);
  CHECK((answer->status == ETCD_OK) == (reply != NULL) && (reply == NULL) == (etcd_event_error(event) != NULL));
  CHECK(etcd_event_revision(event) == etcd_reply_revision(reply) && etcd_event_watch_state(event) == 0);
  if (reply) {
    of_reply(answer, reply);
  } else {
    of_error(answer, etcd_event_error(event));
  }
  etcd_event_free(event);
}

static uint64_t little(const uint8_t *at, int size) {
  uint64_t number = 0;
  while (size-- > 0) {
    number = number << 8 | at[size];
  }
  return number;
}

/* The keys of a record; returns what is behind them. */
static const uint8_t *packed_keys(struct text *text, const uint8_t *at, uint64_t count) {
  while (count-- > 0) {
    etcd_kv kv;
    kv.kind = (uint32_t)little(at + 4, 2);
    kv.key = at + little(at + 6, 2);
    kv.key_len = little(at + 8, 4);
    kv.value_len = little(at + 12, 4);
    kv.create_revision = (int64_t)little(at + 16, 8);
    kv.mod_revision = (int64_t)little(at + 24, 8);
    kv.version = (int64_t)little(at + 32, 8);
    kv.lease = (int64_t)little(at + 40, 8);
    kv.reserved = 0;
    kv.value = kv.key + kv.key_len;
    say_kv(text, &kv);
    at += little(at, 4);
  }
  return at;
}

static void of_record(struct answer *answer, const uint8_t *at, size_t size) {
  CHECK(little(at, 4) == size && at[4] == ETCD_PACKED_VERSION && at[5] == ETCD_EVENT_REPLY);
  CHECK(little(at + 8, 8) == 9 && little(at + 20, 4) == 0);
  uint64_t flags = little(at + 6, 2);
  CHECK(flags & ETCD_PACKED_LAST);
  answer->status = (etcd_status)little(at + 16, 4);
  answer->retriable = (flags & ETCD_PACKED_RETRIABLE) != 0;
  answer->unknown = (flags & ETCD_PACKED_OUTCOME_UNKNOWN) != 0;
  answer->more = (flags & ETCD_PACKED_MORE) != 0;
  answer->succeeded = (flags & ETCD_PACKED_SUCCEEDED) != 0;
  answer->revision = (int64_t)little(at + 24, 8);
  answer->count = (int64_t)little(at + 32, 8);
  answer->lease = (int64_t)little(at + 40, 8);
  answer->ttl = (int64_t)little(at + 48, 8);
  answer->server_code = (int32_t)little(at + 76, 4);
  const uint8_t *behind = packed_keys(&answer->keys, at + little(at + 60, 4), little(at + 56, 4));
  size_t message = little(at + 68, 4), endpoint = little(at + 72, 4);
  CHECK(behind == at + little(at + 64, 4));
  say(&answer->message, "%.*s", (int)message, (const char *)behind);
  say(&answer->endpoint, "%.*s", (int)endpoint, (const char *)behind + message);
  CHECK(behind + (message + endpoint + 7) / 8 * 8 == at + size);
}

static void wait_for_event(void) {
  /* The same event stays, since its record has no room in no bytes. */
  uint64_t none;
  size_t used = 0;
  uint32_t records;
  struct pollfd readable;
  readable.fd = etcd_queue_fd(queue);
  readable.events = POLLIN;
  CHECK(poll(&readable, 1, 20000) == 1);
  GIVES(ETCD_ERR_TOO_LARGE, etcd_queue_read(queue, (uint8_t *)&none, 0, &used, &records));
  CHECK(used >= 80 && used % 8 == 0 && records == 0);
}

static void packed(const etcd_request *request, struct answer *answer) {
  if (!submitted(request, 9, answer)) {
    return;
  }
  uint64_t buffer[1024];
  const uint8_t *at = (const uint8_t *)buffer;
  size_t used;
  uint32_t records;
  etcd_reply *reply;
  wait_for_event();
  memset(buffer, 0xee, sizeof buffer);
  DONE(etcd_queue_read(queue, (uint8_t *)buffer, sizeof buffer, &used, &records));
  CHECK(records == 1 && used <= sizeof buffer && (used == sizeof buffer || at[used] == 0xee));
  of_record(answer, at, used);
  if (little(at + 6, 2) & ETCD_PACKED_TAKE) {
    DONE(etcd_queue_take_reply(queue, 9, &reply));
    CHECK(answer->keys.length == 0);
    of_reply(answer, reply);
    etcd_reply_free(reply);
  }
  GIVES(ETCD_ERR_KEY_NOT_FOUND, etcd_queue_take_reply(queue, 9, &reply));
}

/* == The table ============================================================================================== */

/* Numbers in messages are ports and revisions. */
static void say_without_numbers(struct text *text, const char *message) {
  for (; *message; message++) {
    if (*message < '0' || *message > '9') {
      say(text, "%c", *message);
    }
  }
}

static void say_answer(struct text *text, const struct answer *answer) {
  if (answer->status != ETCD_OK) {
    say(text, "%s", etcd_status_name(answer->status) + strlen("ETCD_ERR_"));
    say(text, "%s%s", answer->retriable ? " retriable" : "", answer->unknown ? " unknown" : "");
    say(text, "%s", answer->revision ? " at a known revision" : "");
    return;
  }
  /* Some servers tell no revision with their members and alarms. */
  if (strncmp(doing, "members", 7) && strncmp(doing, "alarm", 5)) {
    say(text, "r%lld ", (long long)shown(answer->revision));
  }
  say(text, "n%lld", (long long)answer->count);
  say(text, "%s%s", answer->more ? " more" : "", answer->succeeded ? " yes" : "");
  if (answer->lease) {
    say(text, " lease=%s", shown_lease(answer->lease));
  }
  if (answer->ttl) {
    /* A second may have passed. */
    say(text, " ttl=%lld", (long long)(answer->ttl < 10 ? answer->ttl : (answer->ttl + 5) / 10 * 10));
  }
  say(text, "%s", answer->keys.bytes);
}

static const char *const fixture[] = {"put a 1", "put b 2", "put c 3", "put a 4", "put d 5 lease=$"};

/* a has two versions, d a lease; the case begins at revision @5. */
static void set_up(void) {
  etcd_reply *granted;
  base = wipe(client);
  granted = must(client, etcd_request_lease_grant(600));
  DONE(etcd_reply_int(granted, ETCD_FIELD_LEASE, &lease));
  etcd_reply_free(granted);
  for (size_t n = 0; n < sizeof fixture / sizeof *fixture; n++) {
    must_do(client, request_of(fixture[n]));
  }
}

/* What there is afterwards, unless that is what there was. */
static void say_state(struct text *text) {
  struct text state;
  etcd_reply *keys = must(client, everything(etcd_request_get(NULL, 0)));
  etcd_reply *leases = must(client, etcd_request_leases());
  etcd_reply *alarms = must(client, etcd_request_alarm(ETCD_ALARM_LIST, 0, ETCD_ALARM_ANY));
  size_t raised = etcd_reply_children(alarms);
  etcd_reply_free(alarms);
  state.length = 0;
  say(&state, " -> r%lld leases=%d:", (long long)shown(etcd_reply_revision(keys)), (int)etcd_reply_children(leases));
  say_keys(&state, keys);
  if (strcmp(state.bytes, " -> r5 leases=1: [a=4 c1 m4 v2] [b=2 c2 m2 v1] [c=3 c3 m3 v1] [d=5 c5 m5 v1 l$]")) {
    say(text, "%s", state.bytes);
  }
  if (raised) {
    say(text, " alarms=%d", (int)raised);
  }
  etcd_reply_free(keys);
  etcd_reply_free(leases);
}

static const struct way {
  const char *name;
  void (*run)(const etcd_request *, struct answer *);
} ways[] = {{"called", called}, {"queued", queued}, {"packed", packed}};

struct operation {
  const char *words, *wanted;
};

/* Runs what stands before a bar. */
static etcd_request *operation_after_others(const char *words) {
  etcd_request *request;
  rest = words;
  request = operation();
  while (next_is("|")) {
    must_do(client, request);
    request = operation();
  }
  CHECK(strspn(rest, " ") == strlen(rest));
  return request;
}

static void one_way(const char *words, const struct way *way, struct text *text, struct text *details) {
  static struct answer answer;
  memset(&answer, 0, sizeof answer);
  set_up();
  etcd_request *request = operation_after_others(words);
  way->run(request, &answer);
  etcd_request_free(request);
  say_answer(text, &answer);
  say_state(text);
  say(details, "%d, ", (int)answer.server_code);
  say_without_numbers(details, answer.message.bytes);
  say_without_numbers(details, answer.endpoint.bytes);
}

/* `wanted` NULL: what servers tell differs, but not from one way to the other. */
static void all_ways(const struct operation *operation) {
  struct text texts[3], details[3];
  doing = operation->words;
  for (int n = 0; n < 3; n++) {
    texts[n].length = details[n].length = 0;
    one_way(operation->words, &ways[n], &texts[n], &details[n]);
    const char *wanted = operation->wanted ? operation->wanted : texts[0].bytes;
    if (strcmp(texts[n].bytes, wanted) || strcmp(details[n].bytes, details[0].bytes)) {
      fprintf(stderr, "%s, %s:\nhave %s\nwant %s\nhave %s\nwant %s\n", operation->words, ways[n].name, texts[n].bytes,
              wanted, details[n].bytes, details[0].bytes);
      CHECK(!"all ways tell the same");
    }
    CHECK(1);
  }
  if (getenv("FULL_VERBOSE")) {
    printf("  {\"%s\",\n   \"%s\"},\n", operation->words, texts[0].bytes);
  }
}

static void all_of(const struct operation *of, size_t count) {
  for (size_t n = 0; n < count; n++) {
    all_ways(&of[n]);
  }
}

#include "operations.h"

int main(int argc, char **argv) {
  if (argc != 2 && argc != 4) {
    fprintf(stderr, "usage: %s ENDPOINTS [USER PASSWORD]\n", argv[0]);
    return 2;
  }
  alarm(240); /* a wait that never ends is a fault too */
  user = argc == 4 ? argv[2] : "nobody";
  password = argc == 4 ? argv[3] : "nothing";
  client = open_client(argv[1], "user", argc == 4 ? user : "", "password", argc == 4 ? password : "", (char *)NULL);
  queue = new_queue(0);
  all_of(operations, sizeof operations / sizeof *operations);
  all_of(of_servers, sizeof of_servers / sizeof *of_servers);
  all_of(argc == 4 ? of_users : of_anybody, 2);
  wipe(client);
  etcd_queue_free(queue);
  DONE(etcd_client_close(client, 5000, NULL));
  return end();
}
