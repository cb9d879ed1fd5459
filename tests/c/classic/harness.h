/* What the programs about the eleven functions share: checks, keys of this run, waiting threads.
   PROGRAM SERVERS   (mem://NAME, or servers of etcd)
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

static inline void check(int ok, const char *what, const char *file, int line) {
  int error = errno;
  pthread_mutex_lock(&mutex);
  checks++;
  if (!ok) {
    fprintf(stderr, "%s:%d: %s  [%d checks before, errno %s]\n", file, line, what, checks - 1, strerror(error));
    exit(1);
  }
  pthread_mutex_unlock(&mutex);
}
#define CHECK(expression) check((expression) != 0, #expression, __FILE__, __LINE__)

/* The call gives this result, and errno says that. */
#define GIVES(result, error, call) \
  do { \
    errno = 0; \
    int got_ = (int)(call); \
    int fine_ = got_ == (int)(result) && (got_ == ETCD_OK || errno == (error)); \
    check(fine_, #call " gives " #result ", " #error, __FILE__, __LINE__); \
  } while (0)
#define OK(call) GIVES(ETCD_OK, 0, call)

static const char *servers;
static etcd_session s;

static inline double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static inline void nap(double seconds) {
  struct timespec time;
  time.tv_sec = (time_t)seconds;
  time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
  nanosleep(&time, NULL);
}

static char **names;
static size_t name_count;
static time_t started;

/* This run's key of that name; lives until the end. */
static inline const char *k(const char *name) {
  char *key = (char *)malloc(strlen(name) + 64);
  sprintf(key, "classic-%ld-%ld/%s", (long)started, (long)getpid(), name);
  pthread_mutex_lock(&mutex);
  names = (char **)realloc(names, (name_count + 1) * sizeof *names);
  names[name_count++] = key;
  pthread_mutex_unlock(&mutex);
  return key;
}

static inline const char *numbered(const char *name, int number) {
  char key[64];
  snprintf(key, sizeof key, "%s%03d", name, number);
  return k(key);
}

/* Whether this string is `expected`; frees it. */
static inline int is(char *string, const char *expected) {
  int same = string && expected ? strcmp(string, expected) == 0 : string == expected;
  if (!same) {
    fprintf(stderr, "have: %.300s\nwant: %.300s\n", string ? string : "NULL", expected ? expected : "NULL");
  }
  free(string);
  return same;
}

static inline int missing(const char *key) {
  errno = 0;
  return is(etcd_get(s, key), NULL) && errno == ENOENT;
}

static inline int set(const char *name, const char *value) {
  return etcd_set(s, k(name), value, NULL, 0);
}

/* The index of now: a lock's index is one. */
static inline int mark(void) {
  char *index;
  OK(etcd_lock(s, k("mark"), 60, NULL, &index));
  OK(etcd_unlock(s, k("mark"), index));
  int mark = atoi(index) + 1;
  free(index);
  return mark;
}

/* The next change from *at on is this one; moves *at behind it. */
static inline void sees(etcd_session session, const char *prefix, int *at, const char *key, const char *value) {
  char *seen, *its_value;
  int before = *at;
  OK(etcd_watch(session, prefix, &seen, &its_value, at, at));
  CHECK(is(seen, key));
  CHECK(is(its_value, value));
  CHECK(*at >= before);
  ++*at;
}

/* == Threads that wait ===================================================================================== */

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

static inline int done(int *flag) {
  pthread_mutex_lock(&mutex);
  int value = *flag;
  pthread_mutex_unlock(&mutex);
  return value;
}

static inline void finish(int *flag) {
  pthread_mutex_lock(&mutex);
  *flag = 1;
  pthread_mutex_unlock(&mutex);
}

static inline void *watch_thread(void *argument) {
  struct watching *w = (struct watching *)argument;
  w->result = etcd_watch(w->session, w->prefix, &w->key, &w->value, w->index_in, &w->out);
  w->error = errno;
  w->ended = now();
  finish(&w->done);
  return NULL;
}

static inline void start_watch(struct watching *w, const char *prefix, int *index_in) {
  w->session = s;
  w->prefix = prefix;
  w->index_in = index_in;
  w->done = 0;
  CHECK(pthread_create(&w->thread, NULL, watch_thread, w) == 0);
}

/* == The program ========================================================================================== */

static inline void begin(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s SERVERS\n", argv[0]);
    exit(2);
  }
  servers = argv[1];
  started = time(NULL);
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  alarm(240); /* a wait that never ends is a fault too */
  s = etcd_open_str(servers);
  CHECK(s != NULL);
}

static inline void run(void (*part)(void), const char *name) {
  double began = now();
  part();
  if (getenv("CLASSIC_VERBOSE")) {
    printf("%-20s %.1f s\n", name, now() - began);
  }
}
#define RUN(part) run(part, #part)

static inline int end(void) {
  etcd_close(s);
  while (name_count > 0) {
    free(names[--name_count]);
  }
  free(names);
  printf("%d checks\n", checks);
  return 0;
}
