/* Each function of libetcd once.   quickstart [SERVERS]   (default: the store inside the library) */
#include <etcd-api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int ok, const char *what) {
  if (!ok) {
    perror(what);
    exit(1);
  }
}

int main(int argc, char **argv) {
  const char *servers = argc > 1 ? argv[1] : "mem://quickstart";
  etcd_session etcd = etcd_open_str(servers);
  check(etcd != NULL, "etcd_open_str");

  char *leader = etcd_leader(etcd);
  check(leader != NULL, "etcd_leader");
  printf("the leader of %s is %s\n", servers, leader);
  free(leader);

  check(etcd_set(etcd, "quickstart/colour", "green", NULL, 0) == ETCD_OK, "etcd_set");
  check(etcd_set(etcd, "quickstart/colour", "blue", "green", 0) == ETCD_OK, "etcd_set if green");
  check(etcd_set(etcd, "quickstart/colour", "red", "green", 0) == ETCD_PROTOCOL_ERROR, "no longer green");
  char *value = etcd_get(etcd, "quickstart/colour");
  check(value != NULL && strcmp(value, "blue") == 0, "etcd_get");
  printf("the colour is %s\n", value);
  free(value);
  char *keys = etcd_get(etcd, "quickstart");
  check(keys != NULL, "etcd_get of a directory");
  printf("below quickstart is %s\n", keys);
  free(keys);

  char *index = NULL;
  check(etcd_lock(etcd, "quickstart/lock", 10, NULL, &index) == ETCD_OK, "etcd_lock");
  check(etcd_lock(etcd, "quickstart/lock", 20, index, NULL) == ETCD_OK, "etcd_lock to renew");
  int from = atoi(index) + 1, at;
  check(etcd_unlock(etcd, "quickstart/lock", index) == ETCD_OK, "etcd_unlock");
  check(etcd_unlock(etcd, "quickstart/lock", index) == ETCD_PROTOCOL_ERROR, "no longer held");
  printf("held a lock and released it\n");
  free(index);

  check(etcd_delete(etcd, "quickstart/colour") == ETCD_OK, "etcd_delete");
  char *key;
  check(etcd_watch(etcd, "quickstart/colour", &key, &value, &from, &at) == ETCD_OK, "etcd_watch");
  printf("%s %s\n", key, value ? value : "is deleted");
  free(key);
  free(value);
  etcd_close_str(etcd); /* etcd_close() does the same */

  char host[] = "127.0.0.1";
  etcd_server list[] = {{host, 2379}, {NULL, 0}};
  etcd = etcd_open(list); /* no server is contacted yet */
  check(etcd != NULL, "etcd_open");
  etcd_close(etcd);
  return 0;
}
