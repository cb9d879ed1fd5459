/* What each function does with arguments that can't be right, or hardly.   bad_input SERVERS
   Each has its documented result and errno; none crashes, and the session goes on working. */
#include <etcd-api.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int checks;

static void check(int ok, const char *what, int line, const char *got) {
  int error = errno;
  checks++;
  if (!ok) {
    fprintf(stderr, "%s:%d: %s  [got %s, errno %s]\n", __FILE__, line, what, got, strerror(error));
    exit(1);
  }
}
#define CHECK(expression) check((expression) != 0, #expression, __LINE__, "0")

static void gives(int result, int error, int got, const char *call, int line) {
  static const char *const names[] = {"ETCD_OK", "ETCD_PROTOCOL_ERROR", "ETCD_WTF"};
  check(got == result && (got == ETCD_OK || errno == error), call, line, names[got]);
}
#define GIVES(result, error, call) (errno = 0, gives(result, error, (int)(call), #call " gives " #result " " #error, __LINE__))
#define OK(call) GIVES(ETCD_OK, 0, call)
#define BAD(call) GIVES(ETCD_WTF, EINVAL, call)
#define NOT_HELD(call) GIVES(ETCD_PROTOCOL_ERROR, ESTALE, call)

static void is_null(void *pointer, int error, const char *call, int line) {
  check(pointer == NULL && errno == error, call, line, pointer ? "a pointer" : "NULL");
}
#define NONE(error, call) (errno = 0, is_null(call, error, #call " gives NULL, " #error, __LINE__))

static etcd_session s;
static char *untouched = (char *)"untouched";

/* This run's key of that name; the next call but seven uses its memory again. */
static const char *k(const char *name) {
  static char keys[8][128];
  static int next;
  static long began;
  if (began == 0) {
    began = (long)time(NULL);
  }
  char *key = keys[next++ % 8];
  snprintf(key, sizeof keys[0], "bad-%ld-%ld/%s", began, (long)getpid(), name);
  return key;
}

/* That many bytes, of this run alone. */
static char *sized(size_t size, const char *name) {
  char *key = (char *)malloc(size + 1);
  memset(key, 'k', size);
  memcpy(key, k(name), strlen(k(name)));
  key[size] = '\0';
  return key;
}

static void names_of_servers(void) {
  const char *bad[] = {
    NULL, "", " ", " ,;\n\t", ":99999", ":1", "host:", "a:0", "a:65536", "a:99999999999999999999", "a:-1", "a:+1", "a:x", "a:1x",
    "mem://x,mem://y", "mem://x 127.0.0.1", "ftp://x", "://x", "http://", "http://a/path", "http://u:p@a", "unix://",
    "::1", "[::1", "[x]:1", "[]:1", "[::1]:", "[::1]x", "a?b", "a%20b", "\xff\xfe", "a,b,c:", "-s=x", "json://a", "json+grpc://a", "json+mem://x",
  };
  for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
    errno = 0;
    etcd_session session = etcd_open_str(bad[n]);
    check(session == NULL && errno == EINVAL, bad[n] ? bad[n] : "NULL", __LINE__, session ? "a session" : "NULL");
  }
  const char *good[] = {"a", " a , b;c\td\ne:1 ", "[::1]", "[::1]:1", "http://a:1/", "https://a", "grpc://127.0.0.1", "grpcs://a:1", "json+http://a:1",
                        "json+https://a", "json+unix:///none", "unix:///none", "mem://", "mem://x"};
  for (size_t n = 0; n < sizeof good / sizeof *good; n++) {
    etcd_session session = etcd_open_str(good[n]);
    check(session != NULL, good[n], __LINE__, "NULL");
    (n % 2 ? etcd_close : etcd_close_str)(session);
  }
  char *long_list = (char *)malloc((1 << 20) + 1);
  memset(long_list, ',', 1 << 20);
  long_list[1 << 20] = '\0';
  NONE(EINVAL, etcd_open_str(long_list));
  memcpy(long_list + (1 << 19), "a", 1);
  etcd_session session = etcd_open_str(long_list);
  CHECK(session != NULL);
  etcd_close(session);
  free(long_list);
}

static etcd_session open_one(const char *host, unsigned short port) {
  etcd_server list[2];
  list[0].host = (char *)host;
  list[0].port = port;
  list[1].host = NULL;
  list[1].port = 9;
  return etcd_open(list);
}

/* Every call on this session fails like that. */
static void all_fail(etcd_session session, int error) {
  char *key = untouched, *value = untouched, *index = untouched;
  int at = 5;
  NONE(error, etcd_get(session, "k"));
  GIVES(ETCD_WTF, error, etcd_set(session, "k", "v", NULL, 0));
  GIVES(ETCD_WTF, error, etcd_set(session, "k", "v", "p", 7));
  GIVES(ETCD_WTF, error, etcd_set(session, "k", NULL, NULL, 0));
  GIVES(ETCD_WTF, error, etcd_delete(session, "k"));
  GIVES(ETCD_WTF, error, etcd_watch(session, "k", &key, &value, &at, &at));
  GIVES(ETCD_WTF, error, etcd_watch(session, "k", NULL, NULL, NULL, NULL));
  CHECK(key == untouched && value == untouched && at == 5);
  NONE(error, etcd_leader(session));
  GIVES(ETCD_WTF, error, etcd_lock(session, "k", 7, NULL, &index));
  CHECK(index == NULL);
  index = untouched;
  GIVES(ETCD_WTF, error, etcd_lock(session, "k", 7, "5", &index));
  CHECK(index == NULL);
  GIVES(ETCD_WTF, error, etcd_unlock(session, "k", "5"));
}

static void arrays_of_servers(void) {
  NONE(EINVAL, etcd_open(NULL));
  const char *bad[] = {"", "a:", "ftp://x", "x y:", "a?b", "[::1", "mem://a mem://b"};
  for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
    errno = 0;
    etcd_session session = open_one(bad[n], 1);
    check(session == NULL && errno == EINVAL, bad[n], __LINE__, session ? "a session" : "NULL");
  }
  NONE(EINVAL, open_one("", 0));
  etcd_session session = open_one(NULL, 0);
  CHECK(session != NULL);
  all_fail(session, EINVAL);
  etcd_close_str(session);
  all_fail(NULL, EINVAL);

  session = open_one("127.0.0.1", 1); /* nobody there */
  CHECK(session != NULL);
  all_fail(session, ECONNREFUSED);
  etcd_close(session);
  session = open_one("127.0.0.1", 0);
  CHECK(session != NULL);
  etcd_close(session);
  const char *v6[] = {"::1", "[::1]"};
  for (int n = 0; n < 4; n++) {
    session = open_one(v6[n / 2], n % 2 ? 1 : 0);
    check(session != NULL, v6[n / 2], __LINE__, "NULL");
    if (n % 2) {
      CHECK(etcd_get(session, "k") == NULL);
      CHECK(errno == ECONNREFUSED || errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT || errno == ENETUNREACH);
    }
    etcd_close(session);
  }
  session = open_one("mem://array", 2379);
  CHECK(session != NULL);
  OK(etcd_set(session, "k", "v", NULL, 0));
  etcd_close(session);
}

static void keys(void) {
  const char *bad[] = {NULL, ""};
  for (int n = 0; n < 2; n++) {
    char *key = untouched, *value = untouched, *index = untouched;
    int at = 5;
    NONE(EINVAL, etcd_get(s, bad[n]));
    BAD(etcd_set(s, bad[n], "v", NULL, 0));
    BAD(etcd_set(s, bad[n], "v", "p", 7));
    BAD(etcd_set(s, bad[n], NULL, NULL, 0));
    BAD(etcd_set(s, bad[n], NULL, "p", 0));
    BAD(etcd_delete(s, bad[n]));
    BAD(etcd_watch(s, bad[n], &key, &value, &at, &at));
    BAD(etcd_watch(s, bad[n], NULL, NULL, NULL, NULL));
    CHECK(key == untouched && value == untouched && at == 5);
    BAD(etcd_lock(s, bad[n], 7, NULL, &index));
    CHECK(index == NULL);
    BAD(etcd_lock(s, bad[n], 7, "5", NULL));
    BAD(etcd_unlock(s, bad[n], "5"));
    BAD(etcd_unlock(s, bad[n], NULL));
  }
}

static void numbers(void) {
  int wrong[] = {-1, INT_MIN};
  for (int n = 0; n < 2; n++) {
    char *key = untouched, *value = untouched;
    int out = 5;
    BAD(etcd_watch(s, k("w"), &key, &value, &wrong[n], &out));
    CHECK(key == untouched && value == untouched && out == 5);
    BAD(etcd_watch(s, k("w"), &key, &value, &wrong[n], &wrong[n]));
    CHECK(wrong[n] == (n ? INT_MIN : -1));
  }
  OK(etcd_set(s, k("t"), "for ever and a day", NULL, UINT_MAX));
  OK(etcd_set(s, k("t"), "v", "for ever and a day", INT_MAX));
  OK(etcd_delete(s, k("t")));
  OK(etcd_set(s, k("t"), "v", NULL, 1));
  OK(etcd_delete(s, k("t")));

  char *index = untouched;
  BAD(etcd_lock(s, k("l"), 0, NULL, &index));
  CHECK(index == NULL);
  BAD(etcd_lock(s, k("l"), 7, NULL, NULL));
  BAD(etcd_lock(s, k("l"), 0, NULL, NULL));
  NONE(ENOENT, etcd_get(s, k("l"))); /* nothing was queued */
  OK(etcd_lock(s, k("l"), UINT_MAX, NULL, &index));
  BAD(etcd_lock(s, k("l"), 0, index, NULL));
  OK(etcd_lock(s, k("l"), 7, index, NULL));
  OK(etcd_lock(s, k("l"), UINT_MAX, index, NULL));
  OK(etcd_lock(s, k("l"), 1, index, NULL));
  OK(etcd_unlock(s, k("l"), index));
  free(index);
  NONE(ENOENT, etcd_get(s, k("l")));
}

static void indexes(void) {
  const char *bad[] = {"", "abc", "-1", "0", "99999999999999999999", "9223372036854775807", "9223372036854775808", "2147483648",
                       " ", " 5", "5 ", "5\n", "+5", "0x5", "1e3", "5.0", "\xff", "../5", "1"};
  char *index, *other, *huge = sized(1 << 20, "index"), padded[64];
  OK(etcd_lock(s, k("l"), 20, NULL, &index));
  OK(etcd_lock(s, k("other"), 20, NULL, &other));
  for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
    char *out = untouched;
    NOT_HELD(etcd_lock(s, k("l"), 7, bad[n], &out));
    CHECK(out == NULL);
    NOT_HELD(etcd_lock(s, k("l"), 7, bad[n], NULL));
    NOT_HELD(etcd_unlock(s, k("l"), bad[n]));
  }
  NOT_HELD(etcd_lock(s, k("l"), 7, huge, NULL));
  NOT_HELD(etcd_unlock(s, k("l"), huge));
  NOT_HELD(etcd_lock(s, k("l"), 7, other, NULL));
  NOT_HELD(etcd_unlock(s, k("l"), other));
  NOT_HELD(etcd_lock(s, k("nobody's"), 7, index, NULL));
  NOT_HELD(etcd_unlock(s, k("nobody's"), index));
  snprintf(padded, sizeof padded, "%s ", index);
  NOT_HELD(etcd_unlock(s, k("l"), padded));
  BAD(etcd_unlock(s, k("l"), NULL));
  OK(etcd_lock(s, k("l"), 20, index, NULL)); /* after all that */
  OK(etcd_unlock(s, k("l"), index));
  NOT_HELD(etcd_unlock(s, k("l"), index));
  OK(etcd_unlock(s, k("other"), other));
  free(index);
  free(other);
  free(huge);
}

static void big_keys(void) {
  char *index = untouched, *got;
  int at;
  OK(etcd_lock(s, k("l"), 20, NULL, &index));
  at = atoi(index);
  OK(etcd_unlock(s, k("l"), index));
  free(index);

  for (size_t size = 1 << 18; size <= 1 << 20; size <<= 2) {
    /* Reading and watching name the key more than once: a long one may be too long for the server then. */
    int may_fail = size == 1 << 20;
    char *big = sized(size, "big");
    OK(etcd_set(s, big, "v", NULL, 0));
    errno = 0;
    got = etcd_get(s, big);
    CHECK(got ? strcmp(got, "v") == 0 : may_fail && errno == EMSGSIZE);
    free(got);
    errno = 0;
    if (etcd_watch(s, big, &got, NULL, &at, NULL) == ETCD_OK) {
      CHECK(strcmp(got, big) == 0);
      free(got);
    } else {
      CHECK(may_fail && errno == EMSGSIZE);
    }
    OK(etcd_delete(s, big));
    GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_delete(s, big));
    CHECK(etcd_get(s, big) == NULL && (errno == ENOENT || (may_fail && errno == EMSGSIZE)));
    free(big);
  }

  char *over = sized(2 << 20, "over");
  index = untouched;
  GIVES(ETCD_PROTOCOL_ERROR, EMSGSIZE, etcd_set(s, over, "v", NULL, 0));
  GIVES(ETCD_PROTOCOL_ERROR, EMSGSIZE, etcd_set(s, over, "v", "p", 7));
  GIVES(ETCD_PROTOCOL_ERROR, EMSGSIZE, etcd_set(s, k("k"), over, NULL, 0));
  GIVES(ETCD_PROTOCOL_ERROR, EMSGSIZE, etcd_set(s, k("k"), "v", over, 0));
  GIVES(ETCD_PROTOCOL_ERROR, EMSGSIZE, etcd_lock(s, over, 7, NULL, &index));
  CHECK(index == NULL);
  CHECK(etcd_get(s, over) == NULL && (errno == EMSGSIZE || errno == ENOENT));
  CHECK(etcd_delete(s, over) == ETCD_PROTOCOL_ERROR && (errno == EMSGSIZE || errno == ENOENT));
  free(over);
}

static void *watch_the_end_of_time(void *session) {
  static int result[2];
  int index = INT_MAX;
  result[0] = etcd_watch((etcd_session)session, k("w"), NULL, NULL, &index, &index);
  result[1] = errno;
  if (index != INT_MAX) {
    result[1] = 0;
  }
  return result;
}

static void far_future(const char *servers) {
  etcd_session other = etcd_open_str(servers);
  pthread_t thread;
  void *result;
  CHECK(pthread_create(&thread, NULL, watch_the_end_of_time, other) == 0);
  const struct timespec pause = {0, 500 * 1000 * 1000};
  nanosleep(&pause, NULL);
  etcd_close(other);
  pthread_join(thread, &result);
  errno = ((int *)result)[1];
  CHECK(((int *)result)[0] == ETCD_WTF && errno == ECANCELED);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fputs("usage: bad_input SERVERS\n", stderr);
    return 2;
  }
  alarm(240); /* a call that never ends is a fault too */
  s = etcd_open_str(argv[1]);
  CHECK(s != NULL);
  names_of_servers();
  arrays_of_servers();
  keys();
  numbers();
  indexes();
  far_future(argv[1]);
  big_keys();

  OK(etcd_set(s, k("k"), "still working", NULL, 0));
  char *value = etcd_get(s, k("k"));
  CHECK(value != NULL && strcmp(value, "still working") == 0);
  free(value);
  etcd_close(s);
  printf("%d checks\n", checks);
  return 0;
}
