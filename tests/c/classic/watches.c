/* Watches. */
#include "harness.h"

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

int main(int argc, char **argv) {
  begin(argc, argv);
  RUN(what_a_watch_sees);
  RUN(two_loops);
  RUN(next_change);
  RUN(from_the_future);
  RUN(many_changes);
  return end();
}
