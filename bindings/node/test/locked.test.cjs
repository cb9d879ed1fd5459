'use strict';
// The old module's interface, used as its own tests and programs do.
var assert = require('assert');
var test = require('node:test').test;
var etcd = require('etcd-api');
var locked = require('etcd-api/locked');

var servers = process.env.ETCD_TEST_ENDPOINTS;
var places = 0;

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
