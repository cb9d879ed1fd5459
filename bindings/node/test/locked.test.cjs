'use strict';
// The old module's interface, used as its own tests and programs do.
var assert = require('assert');
var net = require('net');
var test = require('node:test').test;
var afterEach = require('node:test').afterEach;
var etcd = require('etcd-api');

var servers = process.env.ETCD_TEST_ENDPOINTS;
var places = 0;

var nodes = [];

/** As the module is; but what a failed test leaves behind is stopped. */
function locked(hosts) {
  var locker = require('etcd-api/locked')(hosts);
  return function () {
    nodes.push(locker.apply(null, arguments));
    return nodes[nodes.length - 1];
  };
}

afterEach(function () {
  nodes.splice(0).forEach(function (node) { node.stop(); });
});

/** Hosts and a path that no other test has. */
function place() {
  places++;
  var hosts = servers || 'mem://locked-' + process.pid + '-' + places;
  return { hosts: hosts, path: '/locked/' + process.pid + '-' + Date.now() + '/' + places };
}

test('a single lock', function (t, done) {
  var at = place();
  var node = locked(at.hosts)({ id: 'node1', path: at.path, value: 'apples', ttl: 2 });
  var text;
  node.on('change', function (value, id) {
    text = id + ':::' + value;
  });
  node.on('refresh', function (value, id) {
    assert.equal(text, 'node1:::apples');
    assert.equal(value, 'apples');
    assert.equal(id, 'node1');
    assert.equal(node.id(), 'node1');
    assert.equal(node.value(), 'apples');
    assert.equal(node.isSelected(), true);
    node.stop();
    done();
  });
  node.start();
});

test('two locks', function (t, done) {
  var at = place();
  var locker = locked(at.hosts);
  var lock1 = locker({ id: 'node1', path: at.path, value: 'apples', ttl: 2 });
  var lock2 = locker({ id: 'node2', path: at.path, value: 'pears', ttl: 2 });
  lock1.start();
  setTimeout(function () {
    lock2.start();
  }, 200);
  setTimeout(function () {
    assert.equal(lock1.value(), 'apples');
    assert.equal(lock2.id(), 'node1');
    lock1.stop();
    setTimeout(function () {
      assert.equal(lock2.value(), 'pears');
      assert.equal(lock2.id(), 'node2');
      lock2.stop();
      done();
    }, 3000);
  }, 3000);
});

test('a host that can\'t be', function (t, done) {
  var node = locked('tcp://127.0.0.1:4001')({ path: '/a', value: 'x' });
  node.on('error', function (error) {
    assert.equal(error.toString(), 'Error: Invalid protocol: tcp:');
    done();
  });
  node.start();
});

test('what must be specified', function () {
  var locker = locked(place().hosts);
  assert.throws(function () { locker({ value: 'x' }); }, /^Error: path must be specified$/);
  [undefined, 0, ''].forEach(function (value) {
    assert.throws(function () { locker({ path: '/a', value: value }); }, /^Error: value must be specified$/);
  });
  [-1, 0.5, NaN, '5'].filter(Boolean).forEach(function (ttl) {
    assert.throws(function () { locker({ path: '/a', value: 'x', ttl: ttl }); }, TypeError);
  });
  [5, null, true, function () {}].forEach(function (hosts) {
    assert.throws(function () { locked(hosts); }, TypeError);
  });
  var node = locker('/a', { value: 10 });
  assert.match(node.localid(), /^[0-9a-f]{6}$/);
  assert.equal(node.localvalue(), 10);
  assert.equal(node.localdata(), node.localid() + ':::10');
  assert.equal(node.id(), null);
  assert.equal(node.value(), null);
  assert.equal(node.isSelected(), false);
});

/** Records what a node tells, with what it says of itself at that moment. */
function record(node) {
  var told = [];
  ['change', 'select', 'selected', 'deselect', 'refresh', 'ping'].forEach(function (event) {
    node.on(event, function () {
      told.push([event].concat([].slice.call(arguments)).join(' ') + (node.isSelected() ? ' (selected)' : ''));
    });
  });
  return told;
}

/** Calls back when something has become true. */
function when(what, done) {
  if (what()) return done();
  setTimeout(function () { when(what, done); }, 10);
}

test('events, in their order and with their arguments', function (t, done) {
  var at = place();
  var node = locked([at.hosts].join(',').split(','))(at.path, { id: 'me', value: 'a:::b', ttl: 2 });
  var told = record(node);
  node.start(function () {
    assert.deepEqual(told, ['change a:::b me (selected)', 'select a:::b me (selected)', 'selected a:::b me (selected)',
      'ping a:::b me (selected)']);
    node.value(function (error, value) {
      assert.equal(error, null);
      assert.equal(value, 'a:::b');
      node.id(function (error, id) {
        assert.equal(id, 'me');
        when(function () { return told.length >= 8; }, function () {
          assert.deepEqual(told.slice(4, 8), ['refresh a:::b me (selected)', 'ping a:::b me (selected)',
            'refresh a:::b me (selected)', 'ping a:::b me (selected)'], 'every half TTL');
          node.stop().then(function () { done(); });
          assert.equal(node.isSelected(), false);
        });
      });
    });
  });
});

test('one that comes later knows who is selected, and is the next one', function (t, done) {
  var at = place();
  var first = locked(at.hosts)({ id: 'first', path: at.path, value: '1', ttl: 5 });
  var second = locked(at.hosts)({ id: 'second', path: at.path, value: '2', ttl: 5 });
  var told = record(second);
  var watched;
  first.start(function () {
    second.start().then(function () {
      assert.deepEqual(told, ['change 1 first', 'ping 1 first']);
      assert.equal(second.id() + second.value(), 'first1');
      watched = told.length;
      second.on('select', function () {
        setImmediate(function () {
          assert.deepEqual(told.filter(function (line) { return !/^ping/.test(line); }).slice(1),
            ['change  ', 'change 2 second (selected)', 'select 2 second (selected)', 'selected 2 second (selected)']);
          second.stop().then(function () { done(); });
        });
      });
      first.stop();
      assert.equal(first.isSelected(), false);
    });
  });
});

test('others read the key, which lives and goes with the lock', function (t, done) {
  var at = place();
  var client = etcd.open(at.hosts);
  t.after(function () { return client.close(); });
  var node = locked(client)({ id: 'me', path: at.path, value: 'x', ttl: 3 });
  node.start(function () {
    client.get(at.path).then(function (kv) {
      assert.equal(String(kv.value), 'me:::x');
      return Promise.all([client.leader(at.path), kv.lease]);
    }).then(function (found) {
      assert.equal(found[0].lease, found[1], 'the lease of the lock');
      assert.equal(String(found[0].value), 'me:::x');
      return node.stop();
    }).then(function () {
      return client.count({ prefix: at.path });
    }).then(function (count) {
      assert.equal(count, 0);
      done();
    });
  });
});

test('a key that was deleted or overwritten comes back', function (t, done) {
  var at = place();
  var client = etcd.open(at.hosts);
  t.after(function () { return client.close(); });
  var node = locked(client)({ id: 'me', path: at.path, value: 'x', ttl: 2 });
  var told = record(node);
  node.start(function () {
    told.length = 0;
    client.delete(at.path).then(function () {
      when(function () { return told.length >= 6; }, function () {
        assert.deepEqual(told.slice(0, 6), ['change  ', 'deselect', 'change x me (selected)', 'select x me (selected)',
          'selected x me (selected)', 'ping x me (selected)']);
        told.length = 0;
        client.put(at.path, 'you:::y').then(function () {
          when(function () { return told.length >= 7; }, function () {
            assert.deepEqual(told.slice(0, 4), ['change y you', 'deselect', 'ping y you', 'change x me (selected)']);
            node.stop().then(function () { done(); });
          });
        });
      });
    });
  });
});

test('a lock that is lost is told, and another one has it', function (t, done) {
  var at = place();
  var client = etcd.open(at.hosts);
  t.after(function () { return client.close(); });
  var locker = locked(at.hosts);
  var first = locker({ id: 'first', path: at.path, value: '1', ttl: 2 });
  var second = locker({ id: 'second', path: at.path, value: '2', ttl: 2 });
  var told = record(first);
  first.start(function () {
    second.start(function () {
      client.leader(at.path).then(function (leader) { return client.leases.revoke(leader.lease); });
      second.on('select', function () {
        assert.ok(told.indexOf('deselect') > 0, told.join());
        assert.equal(first.isSelected(), false);
        when(function () { return first.id() === 'second'; }, function () {
          second.stop();
          when(function () { return first.isSelected(); }, function () {
            first.stop().then(function () { done(); });
          });
        });
      });
    });
  });
});

test('losses in the middle of it all are no errors', function (t, done) {
  var at = place();
  var client = etcd.open(at.hosts);
  t.after(function () { return client.close(); });
  var node = locked(at.hosts)({ id: 'me', path: at.path, value: 'x', ttl: 2 });
  var lost = 0;
  node.on('error', done);
  node.start();
  function next() {
    if (lost === 15) {
      return when(function () { return node.isSelected(); }, function () {
        node.stop().then(function () { done(); });
      });
    }
    client.leader(at.path).then(function (leader) {
      if (leader === null) return;
      lost++;
      return client.leases.revoke(leader.lease).catch(function () {});
    }).then(next, done);
  }
  next();
});

test('nor is one that cuts off what is asked under the lock', function (t, done) {
  var at = place();
  var client = etcd.open(at.hosts);
  t.after(function () { return client.close(); });
  var node = locked(client)({ id: 'me', path: at.path, value: 'x', ttl: 2 });
  var get = client.get;
  var lost = false;
  // The first look at the lock's key finds it gone, and is told so before it is answered.
  client.get = function (key, options) {
    client.get = get;
    return client.delete(key).then(function () {
      return new Promise(function (resolve) {
        if (options.signal.aborted) resolve();
        options.signal.addEventListener('abort', resolve);
      });
    }).then(function () {
      lost = true;
      return client.get(key, options);
    });
  };
  node.on('error', done);
  node.on('select', function () {
    assert.ok(lost);
    node.stop().then(function () { done(); });
  });
  node.start();
});

/** In the way of all servers; what goes through it can be held up. */
function proxy(done) {
  var sockets = [];
  var isFrozen = false;
  var server = net.createServer(function (near) {
    var at = servers.split(/[, ]+/)[0].split(':');
    var far = net.connect(at[1], at[0]);
    [near, far].forEach(function (socket) {
      socket.on('error', function () {});
      sockets.push(socket);
    });
    near.on('data', function (data) { far.write(data); }).on('close', function () { far.destroy(); });
    far.on('data', function (data) { near.write(data); }).on('close', function () { near.destroy(); });
    if (isFrozen) [near, far].forEach(function (socket) { socket.pause(); });
  });
  server.listen(0, '127.0.0.1', function () {
    done({
      hosts: '127.0.0.1:' + server.address().port,
      freeze: function () { isFrozen = true; sockets.forEach(function (socket) { socket.pause(); }); },
      thaw: function () { isFrozen = false; sockets.forEach(function (socket) { socket.resume(); }); },
      close: function () { server.close(); sockets.forEach(function (socket) { socket.destroy(); }); },
    });
  });
}

test('nor is one while servers are silent', function (t, done) {
  if (!servers) return done();
  proxy(function (between) {
    t.after(between.close);
    var node = locked(between.hosts)({ id: 'me', path: place().path, value: 'x', ttl: 2 });
    var events = [];
    node.on('error', done);
    node.on('deselect', function () {
      assert.deepEqual(events, ['select']);
      between.thaw();
    });
    node.on('select', function () {
      events.push('select');
      if (events.length === 1) return between.freeze();
      node.stop().then(function () { done(); });
    });
    node.start();
  });
});

test('stopped, it can start again', function (t, done) {
  var at = place();
  var node = locked(at.hosts)({ id: 'me', path: at.path, value: 'x', ttl: 2 });
  var selected = 0;
  node.on('selected', function () { selected++; });
  node.start(function () {
    node.start(function () {
      node.stop();
      node.stop();
      node.start(function () {
        when(function () { return node.isSelected(); }, function () {
          assert.equal(selected, 2);
          node.stop().then(function () { done(); });
        });
      });
    });
  });
});

test('an etcdjs object names its hosts', function (t, done) {
  var at = place();
  var node = locked({ _hosts: [at.hosts], get: function () {}, set: function () {} })({ path: at.path, value: 'x' });
  node.start(function () {
    locked({ hosts: at.hosts });
    node.stop().then(function () { done(); });
  });
});

test('many nodes take turns', function (t, done) {
  var at = place();
  var locker = locked(at.hosts);
  var turns = [];
  var left = 8;
  for (var i = 0; i < 8; i++) {
    (function (node) {
      node.on('select', function (value, id) {
        turns.push(id);
        node.stop().then(function () {
          if (--left > 0) return;
          assert.deepEqual(turns.slice().sort(), ['0', '1', '2', '3', '4', '5', '6', '7']);
          done();
        });
      });
      node.start();
    })(locker({ id: String(i), path: at.path, value: 'x', ttl: 5 }));
  }
});

test('it says so when it can\'t go on, and stops', function (t, done) {
  var nobody = etcd.open({ endpoints: '127.0.0.1:1', requestTimeoutMs: 200 });
  var lonely = locked(nobody)({ path: '/a', value: 'x' });
  lonely.on('error', function (error) {
    assert.ok(error instanceof etcd.EtcdError, error);
    var at = place();
    var client = etcd.open(at.hosts);
    var node = locked(client)({ path: at.path, value: 'x', ttl: 2 });
    var told = record(node);
    node.on('error', function (error) {
      assert.ok(error instanceof etcd.ClosedError, error);
      assert.equal(told[told.length - 1], 'deselect');
      nobody.close().then(function () { done(); });
    });
    node.start(function () { client.close(); });
  });
  lonely.start().catch(function (error) { assert.ok(error instanceof etcd.EtcdError); });
});

test('an error that nobody hears is uncaught, as ever', function (t, done) {
  var program = 'require("etcd-api/locked")("tcp://x")({ path: "/a", value: "x" }).start()';
  require('child_process').execFile(process.execPath, ['-e', program], { cwd: __dirname }, function (error, out, err) {
    assert.match(err, /Error: Invalid protocol: tcp:/);
    assert.equal(error.code, 1);
    done();
  });
});
