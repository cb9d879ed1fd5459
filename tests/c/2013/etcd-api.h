/* The interface as a program of 2013 saw it: no include guard, no const, a session of any pointer. */
typedef enum { ETCD_OK = 0, ETCD_PROTOCOL_ERROR, ETCD_WTF } etcd_result;

typedef struct {
  char *host;
  unsigned short port;
} etcd_server;

typedef void *etcd_session;

etcd_session etcd_open(etcd_server *server_list);
etcd_session etcd_open_str(char *server_names);
void etcd_close(etcd_session session);
void etcd_close_str(etcd_session session);
char *etcd_get(etcd_session session, char *key);
etcd_result etcd_watch(etcd_session session, char *prefix, char **keyp, char **valuep, int *index_in, int *index_out);
etcd_result etcd_set(etcd_session session, char *key, char *value, char *precond, unsigned int ttl);
etcd_result etcd_delete(etcd_session session, char *key);
char *etcd_leader(etcd_session session);
etcd_result etcd_lock(etcd_session session, char *key, unsigned int ttl, char *index_in, char **index_out);
etcd_result etcd_unlock(etcd_session session, char *key, char *index);
