/* A range in pages of one key: none is missed and none is new, also when keys come and go between two of them. */
#include "harness.h"

static etcd_client *client;

static etcd_pages *pages_of_one(const char *prefix) {
  etcd_request *get = everything(etcd_request_get(TEXT(prefix)));
  etcd_pages *pages;
  DONE(etcd_request_set_int(get, ETCD_FIELD_LIMIT, 1));
  DONE(etcd_pages_open(client, get, &pages, NULL));
  etcd_request_free(get);
  return pages;
}

/* The next page has this key with this value; NULL: there is none. */
static void page_is(etcd_pages *pages, const char *key, const char *value, int64_t revision) {
  etcd_reply *page;
  etcd_kv kv;
  doing = key ? key : "the end";
  DONE(etcd_pages_next(pages, 20000, NULL, &page, NULL));
  CHECK((page == NULL) == (key == NULL));
  if (key) {
    CHECK(etcd_reply_kvs(page) == 1 && etcd_reply_count(page) == 3 && etcd_reply_revision(page) == revision);
    DONE(etcd_reply_kv(page, 0, &kv, sizeof kv));
    CHECK(kv.key_len == strlen(key) && !memcmp(kv.key, key, kv.key_len));
    CHECK(kv.value_len == strlen(value) && !memcmp(kv.value, value, kv.value_len));
  }
  etcd_reply_free(page);
}

static void one_after_the_other(void) {
  put(client, "pages/a", "1");
  put(client, "pages/b", "2");
  int64_t revision = put(client, "pages/c", "3");
  etcd_pages *pages = pages_of_one("pages/");
  page_is(pages, "pages/a", "1", revision);
  must_do(client, etcd_request_delete(TEXT("pages/b")));
  put(client, "pages/bb", "new");
  page_is(pages, "pages/b", "2", revision);
  put(client, "pages/c", "new");
  page_is(pages, "pages/c", "3", revision);
  page_is(pages, NULL, NULL, 0);
  page_is(pages, NULL, NULL, 0);
  etcd_pages_free(pages);
}

static void nothing(void) {
  etcd_pages *pages = pages_of_one("nothing/");
  etcd_reply *page;
  doing = "an empty range";
  DONE(etcd_pages_next(pages, 20000, NULL, &page, NULL));
  CHECK(page && etcd_reply_kvs(page) == 0 && etcd_reply_count(page) == 0);
  etcd_reply_free(page);
  page_is(pages, NULL, NULL, 0);
  etcd_pages_free(pages);
}

static void a_revision_that_is_gone(void) {
  etcd_pages *pages = pages_of_one("pages/");
  etcd_reply *page;
  doing = "a revision that is gone";
  DONE(etcd_pages_next(pages, 20000, NULL, &page, NULL));
  etcd_reply_free(page);
  must_do(client, etcd_request_compact(put(client, "pages/c", "newest")));
  GIVES(ETCD_ERR_COMPACTED, etcd_pages_next(pages, 20000, NULL, &page, NULL));
  CHECK(page == NULL);
  GIVES(ETCD_ERR_COMPACTED, etcd_pages_next(pages, 20000, NULL, &page, NULL));
  etcd_pages_free(pages);
}

int main(int argc, char **argv) {
  client = open_client(argc > 1 ? argv[1] : "mem://pages", NULL);
  wipe(client);
  one_after_the_other();
  nothing();
  a_revision_that_is_gone();
  DONE(etcd_client_close(client, 20000, NULL));
  printf("%d checks\n", checks);
  return 0;
}
