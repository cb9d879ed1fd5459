/* What docs/queue.md uses of libuv, as its header declares it: so that the page compiles where there is no libuv. */
typedef struct uv_loop_s uv_loop_t;
typedef struct uv_poll_s uv_poll_t;
struct uv_poll_s {
  void *data;
};
enum uv_poll_event { UV_READABLE = 1 };
typedef void (*uv_poll_cb)(uv_poll_t *handle, int status, int events);
int uv_poll_init(uv_loop_t *loop, uv_poll_t *handle, int fd);
int uv_poll_start(uv_poll_t *handle, int events, uv_poll_cb cb);
