/* Another libetcd.so with the symbols of 2013, to link a program to; all it can do is fail. */
#include <stddef.h>

#include "etcd-api.h"

etcd_session etcd_open(etcd_server *server_list) {
  (void)server_list;
  return NULL;
}

etcd_session etcd_open_str(char *server_names) {
  (void)server_names;
  return NULL;
}

void etcd_close(etcd_session session) {
  (void)session;
}

void etcd_close_str(etcd_session session) {
  (void)session;
}

char *etcd_get(etcd_session session, char *key) {
  (void)session, (void)key;
  return NULL;
}

etcd_result etcd_watch(etcd_session session, char *prefix, char **keyp, char **valuep, int *index_in, int *index_out) {
  (void)session, (void)prefix, (void)keyp, (void)valuep, (void)index_in, (void)index_out;
  return ETCD_WTF;
}

etcd_result etcd_set(etcd_session session, char *key, char *value, char *precond, unsigned int ttl) {
  (void)session, (void)key, (void)value, (void)precond, (void)ttl;
  return ETCD_WTF;
}

etcd_result etcd_delete(etcd_session session, char *key) {
  (void)session, (void)key;
  return ETCD_WTF;
}

char *etcd_leader(etcd_session session) {
  (void)session;
  return NULL;
}

etcd_result etcd_lock(etcd_session session, char *key, unsigned int ttl, char *index_in, char **index_out) {
  (void)session, (void)key, (void)ttl, (void)index_in, (void)index_out;
  return ETCD_WTF;
}

etcd_result etcd_unlock(etcd_session session, char *key, char *index) {
  (void)session, (void)key, (void)index;
  return ETCD_WTF;
}
