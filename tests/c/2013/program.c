/* A program as it was written in 2013.   program HOST PORT
   It is compiled against the header beside it and against today's, and runs linked to either library. */
#include <etcd-api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int faults;

static void expect(int ok, const char *what) {
  printf("%s: %s\n", what, ok ? "ok" : "failed");
  if (!ok) {
    faults++;
  }
}

static void expect_string(char *string, const char *wanted, const char *what) {
  expect(string != NULL && strcmp(string, wanted) == 0, what);
  free(string);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: program HOST PORT\n");
    return 2;
  }
  etcd_server servers[2];
  servers[0].host = argv[1];
  servers[0].port = (unsigned short)atoi(argv[2]);
  servers[1].host = NULL;
  servers[1].port = 0;
  etcd_session session = etcd_open(servers);
  expect(session != NULL, "open");

  char key[] = "2013/colour", dir[] = "2013", lock[] = "2013.lock";
  char red[] = "red", green[] = "green", blue[] = "blue & more";
  etcd_result result = etcd_set(session, key, red, NULL, 0);
  expect(result == ETCD_OK, "set");
  expect(etcd_set(session, key, green, red, 60) == ETCD_OK, "set with precond and ttl");
  expect(etcd_set(session, key, blue, red, 0) == ETCD_PROTOCOL_ERROR, "set with a wrong precond");
  expect_string(etcd_get(session, key), green, "get");
  expect_string(etcd_get(session, dir), key, "get of a directory");

  char *index = NULL, *none = NULL;
  expect(etcd_lock(session, lock, 10, NULL, &index) == ETCD_OK && index != NULL, "lock");
  expect(etcd_lock(session, lock, 20, index, &none) == ETCD_OK && none == NULL, "renew");
  expect(etcd_unlock(session, lock, index) == ETCD_OK, "unlock");
  expect(etcd_unlock(session, lock, index) == ETCD_PROTOCOL_ERROR, "unlock again");

  expect(etcd_set(session, key, blue, NULL, 0) == ETCD_OK, "set something to see");
  expect(etcd_delete(session, key) == ETCD_OK, "delete");
  int at = index ? atoi(index) + 1 : 0;
  char *seen = NULL, *value = NULL;
  expect(etcd_watch(session, dir, &seen, &value, &at, &at) == ETCD_OK, "watch");
  expect_string(seen, key, "watch's key");
  expect_string(value, blue, "watch's value");
  seen = value = NULL;
  at++;
  expect(etcd_watch(session, dir, &seen, &value, &at, &at) == ETCD_OK && value == NULL, "watch a deletion");
  expect_string(seen, key, "the deleted key");
  expect(etcd_set(session, key, NULL, NULL, 0) == ETCD_PROTOCOL_ERROR, "delete by set what is not there");
  free(index);

  char *leader = etcd_leader(session);
  expect(leader != NULL && *leader != '\0', "leader");
  free(leader);
  etcd_close(session);

  char names[] = "127.0.0.1:1, localhost;[::1]";
  session = etcd_open_str(names);
  expect(session != NULL, "open_str");
  memset(names, 'x', sizeof names - 1);
  etcd_close_str(session);
  printf("%d faults\n", faults);
  return faults > 0;
}
