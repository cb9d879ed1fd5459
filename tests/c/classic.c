/* What the eleven functions mean, on any store.   classic SERVERS   (mem://NAME, or servers of etcd)
   Each run has keys of its own, so that a server in use will do. Needs a server with the default limits. */
#include <etcd-api.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int checks;

static void check(int ok, const char *what, int line) {
  int error = errno;
  pthread_mutex_lock(&mutex);
  checks++;
  if (!ok) {
    fprintf(stderr, "%s:%d: %s  [%d checks before, errno %s]\n", __FILE__, line, what, checks - 1, strerror(error));
    exit(1);
  }
  pthread_mutex_unlock(&mutex);
}
#define CHECK(expression) check((expression) != 0, #expression, __LINE__)

/* The call gives this result, and errno says that. */
#define GIVES(result, error, call) \
  do { \
    errno = 0; \
    int got_ = (int)(call); \
    check(got_ == (int)(result) && (got_ == ETCD_OK || errno == (error)), #call " gives " #result ", " #error, __LINE__); \
  } while (0)
#define OK(call) GIVES(ETCD_OK, 0, call)

static const char *servers;
static etcd_session s;

/* == Small things ========================================================================================= */

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void nap(double seconds) {
  struct timespec time;
  time.tv_sec = (time_t)seconds;
  time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
  nanosleep(&time, NULL);
}

static char **names;
static size_t name_count;
static time_t started;

/* This run's key of that name; lives until the end. */
static const char *k(const char *name) {
  char *key = (char *)malloc(strlen(name) + 64);
  sprintf(key, "classic-%ld-%ld/%s", (long)started, (long)getpid(), name);
  pthread_mutex_lock(&mutex);
  names = (char **)realloc(names, (name_count + 1) * sizeof *names);
  names[name_count++] = key;
  pthread_mutex_unlock(&mutex);
  return key;
}

static const char *numbered(const char *name, int number) {
  char key[64];
  snprintf(key, sizeof key, "%s%03d", name, number);
  return k(key);
}

/* Whether this string is `expected`; frees it. */
static int is(char *string, const char *expected) {
  int same = string && expected ? strcmp(string, expected) == 0 : string == expected;
  if (!same) {
    fprintf(stderr, "have: %.300s\nwant: %.300s\n", string ? string : "NULL", expected ? expected : "NULL");
  }
  free(string);
  return same;
}

static int missing(const char *key) {
  errno = 0;
  return is(etcd_get(s, key), NULL) && errno == ENOENT;
}

static int set(const char *name, const char *value) {
  return etcd_set(s, k(name), value, NULL, 0);
}

/* The index of now: a lock's index is one. */
static int mark(void) {
  char *index;
  OK(etcd_lock(s, k("mark"), 60, NULL, &index));
  OK(etcd_unlock(s, k("mark"), index));
  int mark = atoi(index) + 1;
  free(index);
  return mark;
}

/* The next change from *at on is this one; moves *at behind it. */
static void sees(etcd_session session, const char *prefix, int *at, const char *key, const char *value) {
  char *seen, *its_value;
  int before = *at;
  OK(etcd_watch(session, prefix, &seen, &its_value, at, at));
  CHECK(is(seen, key));
  CHECK(is(its_value, value));
  CHECK(*at >= before);
  ++*at;
}

/* == Keys and values ====================================================================================== */

static void bytes(void) {
  char all[256], one[8] = "bytes/?";
  for (int byte = 1; byte < 256; byte++) {
    all[byte - 1] = (char)byte;
  }
  all[255] = '\0';
  OK(set(all, all));
  CHECK(is(etcd_get(s, k(all)), all));

  for (int byte = 1; byte < 256; byte++) {
    one[6] = (char)byte;
    OK(etcd_set(s, k(one), one, NULL, 0));
  }
  for (int byte = 1; byte < 256; byte++) {
    one[6] = (char)byte;
    CHECK(is(etcd_get(s, k(one)), one));
  }
  const char *strange[] = {"a&b=c", "a%41+b", "a b", "x?y#z", "p;q", "%", "../up", "//", "100%25", "\xff\xfe", "\xc3(", "\""};
  for (size_t n = 0; n < sizeof strange / sizeof *strange; n++) {
    OK(set(strange[n], strange[n]));
    CHECK(is(etcd_get(s, k(strange[n])), strange[n]));
    int at = mark();
    OK(etcd_set(s, k(strange[n]), NULL, strange[n], 0));
    sees(s, k(strange[n]), &at, k(strange[n]), NULL);
    CHECK(missing(k(strange[n])));
  }

  char slashed[128];
  snprintf(slashed, sizeof slashed, "/%s", k("verbatim"));
  OK(set("verbatim", "without"));
  CHECK(missing(slashed));
  OK(etcd_set(s, slashed, "with", NULL, 0));
  CHECK(is(etcd_get(s, slashed), "with"));
  CHECK(is(etcd_get(s, k("verbatim")), "without"));
  OK(etcd_delete(s, slashed));
  CHECK(is(etcd_get(s, k("verbatim")), "without"));
}

static char *filled(size_t size) {
  char *text = (char *)malloc(size + 1);
  memset(text, 'x', size);
  text[size] = '\0';
  return text;
}

static void sizes(void) {
  OK(set("empty", ""));
  CHECK(is(etcd_get(s, k("empty")), ""));
  int at = mark();
  OK(set("empty", ""));
  sees(s, k("empty"), &at, k("empty"), "");

  char *big = filled(1 << 20), *too_big = filled((3 << 19) + 1);
  big[12345] = '\n';
  OK(set("big", big));
  CHECK(is(etcd_get(s, k("big")), big));
  at = mark();
  OK(etcd_set(s, k("big"), "small", big, 0));
  sees(s, k("big"), &at, k("big"), "small");
  GIVES(ETCD_PROTOCOL_ERROR, EMSGSIZE, set("big", too_big));
  GIVES(ETCD_PROTOCOL_ERROR, EMSGSIZE, etcd_set(s, k("big"), too_big, "small", 60));
  CHECK(is(etcd_get(s, k("big")), "small"));
  free(big);
  free(too_big);
}

static void directories(void) {
  char list[512];
  OK(set("d/c/d/e", "1"));
  OK(set("d/a/b", "2"));
  OK(set("d/a-b", "3"));
  OK(set("d/a", "4"));
  OK(set("d/a/c", "5"));
  OK(set("d/c/f", "6"));
  OK(set("d-not", "7"));
  OK(set("d0", "8"));
  snprintf(list, sizeof list, "%s\n%s\n%s", k("d/a"), k("d/a-b"), k("d/c"));
  CHECK(is(etcd_get(s, k("d")), list));
  CHECK(is(etcd_get(s, k("d/a")), "4"));
  OK(etcd_delete(s, k("d/a")));
  CHECK(is(etcd_get(s, k("d")), list));
  snprintf(list, sizeof list, "%s\n%s", k("d/a/b"), k("d/a/c"));
  CHECK(is(etcd_get(s, k("d/a")), list));
  CHECK(is(etcd_get(s, k("d/c/d")), k("d/c/d/e")));

  OK(set("d", "both"));
  CHECK(is(etcd_get(s, k("d")), "both"));
  OK(etcd_delete(s, k("d")));
  CHECK(is(etcd_get(s, k("d/a/b")), "2"));
  GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_delete(s, k("d")));
  CHECK(is(etcd_get(s, k("d/a/b")), "2"));

  OK(etcd_delete(s, k("d/a/b")));
  OK(etcd_delete(s, k("d/a/c")));
  CHECK(missing(k("d/a")));
  CHECK(missing(k("d/a/b")));
  CHECK(missing(k("nothing")));

  int count = 300;
  size_t length = 0;
  for (int n = count; n-- > 0;) {
    OK(etcd_set(s, numbered("many/", n), "", NULL, 0));
  }
  char *many = (char *)malloc((size_t)count * 128);
  for (int n = 0; n < count; n++) {
    length += (size_t)sprintf(many + length, "%s%s", n ? "\n" : "", numbered("many/", n));
  }
  CHECK(is(etcd_get(s, k("many")), many));
  free(many);
}

static void preconditions(void) {
  GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_set(s, k("p"), "a", "b", 0));
  GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_set(s, k("p"), "a", "", 0));
  CHECK(missing(k("p")));
  OK(set("p", "a"));
  OK(etcd_set(s, k("p"), "b", "a", 0));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_set(s, k("p"), "c", "a", 0));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_set(s, k("p"), "c", "", 0));
  CHECK(is(etcd_get(s, k("p")), "b"));
  OK(etcd_set(s, k("p"), "", "b", 0));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_set(s, k("p"), "c", "b", 0));
  OK(etcd_set(s, k("p"), "c", "", 0));
  CHECK(is(etcd_get(s, k("p")), "c"));

  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_set(s, k("p"), NULL, "b", 0));
  CHECK(is(etcd_get(s, k("p")), "c"));
  OK(etcd_set(s, k("p"), NULL, "c", 0));
  CHECK(missing(k("p")));
  GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_set(s, k("p"), NULL, "c", 0));
  GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_set(s, k("p"), NULL, NULL, 0));
  OK(set("p", "d"));
  OK(etcd_set(s, k("p"), NULL, NULL, 7)); /* nothing that a ttl could be for */
  CHECK(missing(k("p")));
  GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_delete(s, k("p")));
}

static void ttls(void) {
  int at = mark();
  double began = now();
  OK(etcd_set(s, k("t/short"), "x", NULL, 2));
  OK(etcd_set(s, k("t/cleared"), "x", NULL, 2));
  OK(set("t/cleared", "y"));
  OK(etcd_set(s, k("t/longer"), "x", NULL, 2));
  OK(etcd_set(s, k("t/longer"), "y", "x", 60));
  OK(set("t/refused", "x"));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_set(s, k("t/refused"), "z", "y", 2));
  OK(etcd_set(s, k("u/refused too"), "x", NULL, 2));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_set(s, k("u/refused too"), "z", "y", 60));
  sees(s, k("t"), &at, k("t/short"), "x");
  sees(s, k("t"), &at, k("t/cleared"), "x");
  sees(s, k("t"), &at, k("t/cleared"), "y");
  sees(s, k("t"), &at, k("t/longer"), "x");
  sees(s, k("t"), &at, k("t/longer"), "y");
  sees(s, k("t"), &at, k("t/refused"), "x");
  CHECK(is(etcd_get(s, k("t/short")), "x"));
  sees(s, k("t"), &at, k("t/short"), NULL);
  CHECK(now() - began > 1.9 && now() - began < 6);
  CHECK(missing(k("t/short")));
  while (now() - began < 4.5) {
    nap(0.1);
  }
  CHECK(missing(k("u/refused too")));
  CHECK(is(etcd_get(s, k("t/cleared")), "y"));
  CHECK(is(etcd_get(s, k("t/longer")), "y"));
  CHECK(is(etcd_get(s, k("t/refused")), "x"));
}

/* == Watches ============================================================================================== */

static void what_a_watch_sees(void) {
  int start = mark() + 1, at = start;
  const char *others[] = {"wfoo", "w-", "w.x", "w0", "w\x01", "w\xff", "v", "x"};
  for (size_t n = 0; n < sizeof others / sizeof *others; n++) {
    OK(set(others[n], "not seen"));
  }
  OK(set("w", "1"));
  OK(set("w/a", "2"));
  OK(set("w/a/b", "3"));
  OK(set("wfoo/a", "not seen"));
  OK(etcd_delete(s, k("w/a")));
  OK(etcd_set(s, k("w"), NULL, "1", 0));
  OK(set("w/a", ""));
  for (int round = 0; round < 2; round++) { /* the second time as another loop */
    sees(s, k("w"), &at, k("w"), "1");
    sees(s, k("w"), &at, k("w/a"), "2");
    sees(s, k("w"), &at, k("w/a/b"), "3");
    sees(s, k("w"), &at, k("w/a"), NULL);
    sees(s, k("w"), &at, k("w"), NULL);
    sees(s, k("w"), &at, k("w/a"), "");
    at = start;
  }
  sees(s, k("w/a"), &at, k("w/a"), "2");
  sees(s, k("w/a"), &at, k("w/a/b"), "3");

  /* Each place for a result may be NULL. */
  char *key, *value;
  int in = start, out = -1;
  OK(etcd_watch(s, k("w"), NULL, &value, &in, &out));
  CHECK(is(value, "1") && out > start && in == start);
  OK(etcd_watch(s, k("w"), &key, NULL, &in, &out));
  CHECK(is(key, k("w")));
  OK(etcd_watch(s, k("w"), &key, &value, &in, NULL));
  CHECK(is(key, k("w")) && is(value, "1"));
  OK(etcd_watch(s, k("w"), NULL, NULL, &in, NULL));
}

static void two_loops(void) {
  int a = mark() + 1, b = a, c = a, d = a, e = a;
  etcd_session other = etcd_open_str(servers);
  for (int n = 0; n < 20; n++) {
    OK(etcd_set(s, numbered("x/a/", n), "a", NULL, 0));
    OK(etcd_set(s, numbered("x/b/", n), "b", NULL, 0));
  }
  for (int n = 0; n < 20; n++) {
    sees(s, k("x/a"), &a, numbered("x/a/", n), "a");
    sees(s, k("x/b"), &b, numbered("x/b/", n), "b");
    sees(s, k("x"), &c, numbered("x/a/", n), "a");
    sees(s, k("x"), &c, numbered("x/b/", n), "b");
    sees(s, k("x"), &d, n % 2 ? numbered("x/b/", n / 2) : numbered("x/a/", n / 2), n % 2 ? "b" : "a");
    sees(other, k("x/a"), &e, numbered("x/a/", n), "a");
  }
  etcd_close(other);
}

struct watching {
  etcd_session session;
  const char *prefix;
  int in, out;
  int *index_in;
  char *key, *value;
  int result, error, done;
  double ended;
  pthread_t thread;
};

static int done(int *flag) {
  pthread_mutex_lock(&mutex);
  int value = *flag;
  pthread_mutex_unlock(&mutex);
  return value;
}

static void finish(int *flag) {
  pthread_mutex_lock(&mutex);
  *flag = 1;
  pthread_mutex_unlock(&mutex);
}

static void *watch_thread(void *argument) {
  struct watching *w = (struct watching *)argument;
  w->result = etcd_watch(w->session, w->prefix, &w->key, &w->value, w->index_in, &w->out);
  w->error = errno;
  w->ended = now();
  finish(&w->done);
  return NULL;
}

static void start_watch(struct watching *w, const char *prefix, int *index_in) {
  w->session = s;
  w->prefix = prefix;
  w->index_in = index_in;
  w->done = 0;
  CHECK(pthread_create(&w->thread, NULL, watch_thread, w) == 0);
}

/* From now on: with NULL and with 0. */
static void next_change(void) {
  struct watching w[2];
  OK(set("now", "before"));
  int zero = 0, n = 0;
  char value[32];
  start_watch(&w[0], k("now"), NULL);
  start_watch(&w[1], k("now"), &zero);
  while (!done(&w[0].done) || !done(&w[1].done)) { /* nobody can know when a watch has begun */
    snprintf(value, sizeof value, "after %d", n++);
    OK(set("now", value));
    nap(0.02);
  }
  for (int i = 0; i < 2; i++) {
    pthread_join(w[i].thread, NULL);
    CHECK(w[i].result == ETCD_OK && is(w[i].key, k("now")) && strncmp(w[i].value, "after ", 6) == 0 && w[i].out > 0);
    int at = w[i].out;
    sees(s, k("now"), &at, k("now"), w[i].value);
    CHECK(at == w[i].out + 1);
    free(w[i].value);
  }
  CHECK(zero == 0);
}

static void from_the_future(void) {
  struct watching w;
  int start = mark() + 1, future = start + 5, at = start, first = 0;
  char value[16], *seen;
  start_watch(&w, k("future"), &future);
  nap(0.2);
  for (int n = 0; n < 10; n++) {
    snprintf(value, sizeof value, "%d", n);
    OK(set("future", value));
  }
  pthread_join(w.thread, NULL);
  CHECK(w.result == ETCD_OK && w.out >= future && is(w.key, k("future")));
  for (; first < future; at++) {
    OK(etcd_watch(s, k("future"), NULL, &seen, &at, &at));
    first = at;
    if (first < future) {
      free(seen);
    }
  }
  CHECK(w.out == first && strcmp(w.value, seen) == 0);
  free(seen);
  free(w.value);
}

struct writing {
  const char *name;
  int count;
  pthread_t thread;
};

static void *write_thread(void *argument) {
  struct writing *w = (struct writing *)argument;
  etcd_session session = etcd_open_str(servers);
  char value[16];
  for (int n = 0; n < w->count; n++) {
    snprintf(value, sizeof value, "%d", n);
    OK(etcd_set(session, k(w->name), value, NULL, 0));
  }
  etcd_close_str(session);
  return NULL;
}

/* Many changes, each once and in order: all written before, and while they are read. */
static void many_changes(void) {
  char value[16];
  for (int round = 0; round < 2; round++) {
    struct writing w = {round ? "many changes/b" : "many changes/a", 500, pthread_self()};
    int at = mark() + 1;
    CHECK(pthread_create(&w.thread, NULL, write_thread, &w) == 0);
    if (round == 0) {
      pthread_join(w.thread, NULL);
    }
    const char *key = k(w.name), *prefix = k("many changes");
    for (int n = 0; n < w.count; n++) {
      snprintf(value, sizeof value, "%d", n);
      sees(s, prefix, &at, key, value);
    }
    if (round > 0) {
      pthread_join(w.thread, NULL);
    }
  }
}

/* == Locks ================================================================================================ */

struct waiter {
  etcd_session session;
  const char *lock;
  unsigned int ttl;
  int release, order, result, error, done;
  char *index;
  double ended;
  pthread_t thread;
};

static int turn;

static void *wait_thread(void *argument) {
  struct waiter *w = (struct waiter *)argument;
  w->index = (char *)w;
  w->result = etcd_lock(w->session, w->lock, w->ttl, NULL, &w->index);
  w->error = errno;
  w->ended = now();
  pthread_mutex_lock(&mutex);
  w->order = turn++;
  pthread_mutex_unlock(&mutex);
  if (w->release) {
    OK(etcd_unlock(w->session, w->lock, w->index));
  }
  finish(&w->done);
  return NULL;
}

/* A waiter in the queue of a lock that is held with an index; after it, *at is behind its own. */
static int start_waiter(struct waiter *w, etcd_session session, const char *lock, unsigned int ttl, int *at) {
  w->session = session;
  w->lock = lock;
  w->ttl = ttl;
  w->release = w->done = 0;
  CHECK(pthread_create(&w->thread, NULL, wait_thread, w) == 0);
  char *value;
  OK(etcd_watch(s, lock, NULL, &value, at, at));
  CHECK(value != NULL); /* its place came, it did not go */
  free(value);
  return (*at)++;
}

/* The waiter gets the lock, and with that index. */
static void gets_it(struct waiter *w, int index) {
  pthread_join(w->thread, NULL);
  errno = w->error;
  CHECK(w->result == ETCD_OK);
  CHECK(atoi(w->index) == index);
}

static void release(struct waiter *w) {
  OK(etcd_unlock(w->session, w->lock, w->index));
  free(w->index);
}

/* Takes a lock nobody has; *at is behind its index. */
static char *take(const char *lock, unsigned int ttl, int *at) {
  char *index;
  OK(etcd_lock(s, lock, ttl, NULL, &index));
  CHECK(strlen(index) > 0 && strspn(index, "0123456789") == strlen(index) && *index != '0');
  *at = atoi(index) + 1;
  return index;
}

static void one_holder(void) {
  etcd_session other = etcd_open_str(servers);
  struct waiter w;
  int at, index;
  for (int same = 0; same < 2; same++) { /* from another session, and from the same one */
    const char *lock = k(same ? "lock/same" : "lock/other");
    char *held = take(lock, 20, &at);
    index = start_waiter(&w, same ? s : other, lock, 20, &at);
    CHECK(index > atoi(held));
    nap(0.3);
    CHECK(!done(&w.done));
    OK(etcd_lock(s, lock, 20, held, NULL)); /* a renewal lets nobody in */
    nap(0.2);
    CHECK(!done(&w.done));
    OK(etcd_unlock(s, lock, held));
    gets_it(&w, index);
    GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_unlock(s, lock, held));
    OK(etcd_lock(s, lock, 20, w.index, NULL));
    release(&w);
    CHECK(missing(lock));
    free(held);
  }
  etcd_close(other);
}

static void first_come(void) {
  enum { COUNT = 5 };
  struct waiter w[COUNT];
  etcd_session sessions[COUNT];
  const char *lock = k("lock/queue");
  int at, index[COUNT];
  char *held = take(lock, 20, &at);
  for (int n = 0; n < COUNT; n++) {
    sessions[n] = n % 2 ? s : etcd_open_str(servers);
    index[n] = start_waiter(&w[n], sessions[n], lock, 20, &at);
    w[n].release = 1;
  }
  turn = 0;
  OK(etcd_unlock(s, lock, held));
  free(held);
  for (int n = 0; n < COUNT; n++) {
    gets_it(&w[n], index[n]);
    CHECK(w[n].order == n);
    free(w[n].index);
    if (n % 2 == 0) {
      etcd_close(sessions[n]);
    }
  }
  CHECK(missing(lock));
}

/* A lock's life, all cases at the same time: it ends; renewed with a longer TTL, a shorter one, the same. */
static void lock_ttls(void) {
  enum { ENDS, LONGER, SHORTER, SAME, COUNT };
  const char *names[COUNT] = {"life/ends", "life/longer", "life/shorter", "life/same"};
  const unsigned int ttls[COUNT] = {2, 2, 30, 3};
  const char *lock[COUNT];
  char *held[COUNT], *none = (char *)"";
  struct waiter w[COUNT];
  int at, index[COUNT];
  double taken[COUNT], renewed;
  for (int n = 0; n < COUNT; n++) {
    lock[n] = k(names[n]);
    held[n] = take(lock[n], ttls[n], &at);
    taken[n] = now();
    if (n == LONGER) {
      OK(etcd_lock(s, lock[n], 30, held[n], &none));
      CHECK(none == NULL);
    } else if (n == SHORTER) {
      OK(etcd_lock(s, lock[n], 2, held[n], NULL));
      taken[n] = now();
    }
    at = atoi(held[n]) + 1;
    char *value = NULL; /* a move to another lease shows in the queue: go on behind it */
    for (; n == LONGER || n == SHORTER; at++) {
      OK(etcd_watch(s, lock[n], NULL, &value, &at, &at));
      int moved = value != NULL;
      free(value);
      if (moved) {
        at++;
        break;
      }
    }
    index[n] = start_waiter(&w[n], s, lock[n], 20, &at);
  }
  nap(2 - (now() - taken[SAME]));
  renewed = now();
  OK(etcd_lock(s, lock[SAME], 3, held[SAME], NULL));

  gets_it(&w[ENDS], index[ENDS]);
  CHECK(w[ENDS].ended - taken[ENDS] > 1.9 && w[ENDS].ended - taken[ENDS] < 6);
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_lock(s, lock[ENDS], 2, held[ENDS], NULL));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_unlock(s, lock[ENDS], held[ENDS]));
  gets_it(&w[SHORTER], index[SHORTER]);
  CHECK(w[SHORTER].ended - taken[SHORTER] > 1.9 && w[SHORTER].ended - taken[SHORTER] < 6);
  gets_it(&w[SAME], index[SAME]);
  CHECK(w[SAME].ended - renewed > 2.9 && w[SAME].ended - renewed < 7);
  CHECK(!done(&w[LONGER].done));
  OK(etcd_unlock(s, lock[LONGER], held[LONGER]));
  gets_it(&w[LONGER], index[LONGER]);
  for (int n = 0; n < COUNT; n++) {
    release(&w[n]);
    free(held[n]);
    CHECK(missing(lock[n]));
  }
}

static void indexes(void) {
  etcd_session other = etcd_open_str(servers);
  int at;
  char *a = take(k("lock/a"), 20, &at), *b = take(k("lock/b"), 20, &at), *none = (char *)"";
  CHECK(atoi(b) > atoi(a));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_lock(s, k("lock/a"), 20, b, &none));
  CHECK(none == NULL);
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_unlock(s, k("lock/a"), b));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_unlock(s, k("lock"), b));
  none = (char *)"";
  OK(etcd_lock(other, k("lock/a"), 20, a, &none));
  CHECK(none == NULL);
  OK(etcd_lock(other, k("lock/a"), 40, a, NULL));
  OK(etcd_lock(s, k("lock/a"), 20, a, NULL)); /* its lease is another one now */
  OK(etcd_unlock(other, k("lock/a"), a));
  OK(etcd_unlock(other, k("lock/b"), b));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_unlock(s, k("lock/a"), a));
  none = (char *)"";
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_lock(s, k("lock/a"), 20, a, &none));
  CHECK(none == NULL);
  free(a);
  a = take(k("lock/a"), 20, &at);
  CHECK(atoi(a) > atoi(b));
  etcd_close(other);
  OK(etcd_unlock(s, k("lock/a"), a));
  free(a);
  free(b);
}

/* What lies below a lock's name and is no place in its queue. */
static void neighbours(void) {
  int at;
  char *inner = take(k("n/a/b"), 20, &at);
  OK(set("n/a/data", "x"));
  OK(set("n/a/abc123", "no lease"));
  OK(etcd_set(s, k("n/a/xyz"), "no hex", NULL, 20));
  OK(etcd_set(s, k("n/a/0123456789abcdef0"), "too long", NULL, 20));
  OK(etcd_set(s, k("n/a/ABC"), "capitals", NULL, 20));
  OK(set("n/a", "a value of its own"));
  double began = now();
  char *outer = take(k("n/a"), 20, &at);
  CHECK(now() - began < 5);
  struct waiter w;
  int index = start_waiter(&w, s, k("n/a"), 20, &at);
  OK(etcd_unlock(s, k("n/a"), outer));
  gets_it(&w, index);
  release(&w);
  OK(etcd_unlock(s, k("n/a/b"), inner));
  CHECK(is(etcd_get(s, k("n/a/data")), "x"));
  CHECK(is(etcd_get(s, k("n/a")), "a value of its own"));
  free(inner);
  free(outer);
}

/* A waiter's index can be released and renewed like a holder's. */
static void waiting_indexes(void) {
  const char *lock = k("lock/waiting");
  struct waiter out, first, second;
  int at;
  char text[16], *held = take(lock, 20, &at);
  int out_index = start_waiter(&out, s, lock, 20, &at);
  int first_index = start_waiter(&first, s, lock, 20, &at), behind = at;
  snprintf(text, sizeof text, "%d", out_index);
  OK(etcd_unlock(s, lock, text));
  pthread_join(out.thread, NULL);
  CHECK(out.result == ETCD_PROTOCOL_ERROR && out.error == ESTALE && out.index == NULL);
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_unlock(s, lock, text));
  nap(0.3);
  CHECK(!done(&first.done));

  char *value;
  OK(etcd_watch(s, lock, NULL, &value, &behind, &behind));
  CHECK(is(value, NULL));
  behind++;
  int second_index = start_waiter(&second, s, lock, 20, &behind);
  snprintf(text, sizeof text, "%d", first_index);
  OK(etcd_lock(s, lock, 20, text, NULL));
  OK(etcd_unlock(s, lock, held));
  gets_it(&first, first_index);
  snprintf(text, sizeof text, "%d", second_index);
  OK(etcd_lock(s, lock, 30, text, NULL)); /* with another TTL, while it waits */
  nap(0.3);
  errno = second.error;
  CHECK(!done(&second.done));
  release(&first);
  gets_it(&second, second_index);
  release(&second);
  CHECK(missing(lock));
  free(held);
}

/* == Sessions ============================================================================================= */

static void closing(void) {
  etcd_session other = etcd_open_str(servers);
  struct watching watch;
  watch.session = other;
  watch.prefix = k("closing");
  watch.index_in = NULL;
  watch.done = 0;
  watch.key = watch.value = NULL;
  CHECK(pthread_create(&watch.thread, NULL, watch_thread, &watch) == 0);
  nap(0.5);
  CHECK(!done(&watch.done));
  double closed = now();
  etcd_close(other);
  pthread_join(watch.thread, NULL);
  CHECK(watch.result == ETCD_WTF && watch.error == ECANCELED && watch.ended - closed < 1);
  CHECK(watch.key == NULL && watch.value == NULL);

  const char *lock = k("closing.lock");
  struct waiter w;
  int at;
  char *held = take(lock, 20, &at), *before = etcd_get(s, lock);
  other = etcd_open_str(servers);
  start_waiter(&w, other, lock, 20, &at);
  nap(0.2);
  CHECK(!done(&w.done));
  closed = now();
  etcd_close_str(other);
  pthread_join(w.thread, NULL);
  CHECK(w.result == ETCD_WTF && w.error == ECANCELED && w.index == NULL && w.ended - closed < 1);
  CHECK(is(etcd_get(s, lock), before));
  OK(etcd_unlock(s, lock, held));
  CHECK(missing(lock));
  free(held);
  free(before);

  etcd_close(NULL);
  etcd_close_str(NULL);
  /* The list is copied, and either function closes what either opened. */
  char host[] = "127.0.0.1";
  etcd_server list[2];
  list[0].host = host;
  list[0].port = 2379;
  list[1].host = NULL;
  list[1].port = 0;
  other = etcd_open(list);
  memset(host, '?', sizeof host - 1);
  list[0].host = NULL;
  CHECK(other != NULL);
  etcd_close_str(other);
  char *text = strdup(servers);
  other = etcd_open_str(text);
  CHECK(other != NULL);
  memset(text, '?', strlen(text));
  free(text);
  OK(etcd_set(other, k("copied"), "yes", NULL, 0));
  CHECK(is(etcd_get(s, k("copied")), "yes"));
  etcd_close(other);

  char *name = etcd_leader(s);
  CHECK(name != NULL && *name != '\0');
  free(name);
}

static void run(void (*part)(void), const char *name) {
  double began = now();
  part();
  if (getenv("CLASSIC_VERBOSE")) {
    printf("%-20s %.1f s\n", name, now() - began);
  }
}
#define RUN(part) run(part, #part)

int main(int argc, char **argv) {
  if (argc != 2) {
    fputs("usage: classic SERVERS\n", stderr);
    return 2;
  }
  servers = argv[1];
  started = time(NULL);
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  alarm(240); /* a wait that never ends is a fault too */
  s = etcd_open_str(servers);
  CHECK(s != NULL);
  RUN(bytes);
  RUN(sizes);
  RUN(directories);
  RUN(preconditions);
  RUN(ttls);
  RUN(what_a_watch_sees);
  RUN(two_loops);
  RUN(next_change);
  RUN(from_the_future);
  RUN(many_changes);
  RUN(one_holder);
  RUN(first_come);
  RUN(lock_ttls);
  RUN(indexes);
  RUN(neighbours);
  RUN(closing);
  RUN(waiting_indexes);
  etcd_close(s);
  while (name_count > 0) {
    free(names[--name_count]);
  }
  free(names);
  printf("%d checks\n", checks);
  return 0;
}
