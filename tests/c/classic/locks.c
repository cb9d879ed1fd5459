/* Locks; and closing a session in the middle of everything. */
#include "harness.h"

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

int main(int argc, char **argv) {
  begin(argc, argv);
  RUN(one_holder);
  RUN(first_come);
  RUN(lock_ttls);
  RUN(indexes);
  RUN(neighbours);
  RUN(closing);
  RUN(waiting_indexes);
  return end();
}
