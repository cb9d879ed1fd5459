// A web server that tells browsers of every change below a prefix, as server-sent events.
//   node sse.mjs [ENDPOINTS [PORT]]      then: curl -N http://127.0.0.1:8080/jobs/
// A browser that comes back says what it saw last (Last-Event-ID), and misses nothing: events have revisions.
import http from 'node:http';
import { CompactedError, open } from 'etcd-api';

const etcd = open(process.argv[2] ?? 'mem://');

const server = http.createServer(async (request, response) => {
  const prefix = decodeURIComponent(request.url.slice(1));
  const last = Number(request.headers['last-event-id']);
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });

  const send = (event, id, data) => new Promise(resolve => {
    const text = `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
    // A slow browser is waited for; meanwhile changes wait in the library, and then in etcd.
    if (response.write(text)) resolve();
    else response.once('drain', resolve).once('close', resolve);
  });
  try {
    let from = last + 1;
    if (!Number.isSafeInteger(last)) {
      const { kvs, revision } = await etcd.getRange({ prefix }, { signal: gone.signal });
      await send('state', revision, kvs.map(({ key, value }) => [key.toString(), value.toString()]));
      from = revision + 1;
    }
    const batches = etcd.watch({ prefix }, { startRevision: from, batches: true, signal: gone.signal });
    for await (const { revision, changes } of batches) {
      await send('changes', revision, changes.map(({ key, value }) => [key.toString(), value?.toString() ?? null]));
    }
  } catch (error) {
    // Too old: without an id, the browser begins anew with the state.
    if (error instanceof CompactedError) await send('compacted', '', null);
    else if (error.name !== 'AbortError') console.error(error.message);
  }
  response.end();
});

server.listen(process.argv[3] ?? 8080, '127.0.0.1', () => console.log(`listening on port ${server.address().port}`));
process.once('SIGTERM', async () => {
  // Loops end with the client, and requests with their loops.
  await etcd.close();
  server.close();
  server.closeAllConnections();
});
