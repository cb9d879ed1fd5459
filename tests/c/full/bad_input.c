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

#include "bad_input/functions.h"
#include "bad_input/table.h"

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
