// Takes part in a lock or an election with etcd's own package concurrency, for tests that others queue with it.
//
//	concurrency-3.7.3 SERVERS lock NAME
//	concurrency-3.7.3 SERVERS campaign NAME VALUE
//	concurrency-3.7.3 SERVERS observe NAME
//
// Prints "held TOKEN KEY" when it holds. SIGINT releases ("released"), SIGUSR1 proclaims "VALUE again" ("proclaimed").
// An observer prints "leader KEY VALUE".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// How long a participant that was killed stays in the queue, in seconds.
const ttl = 2

func main() {
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGUSR1)
	if len(os.Args) < 4 {
		check(fmt.Errorf("usage: SERVERS lock|campaign|observe NAME [VALUE]"))
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(os.Args[1], ",")})
	check(err)
	session, err := concurrency.NewSession(client, concurrency.WithTTL(ttl))
	check(err)
	name := os.Args[3]
	switch os.Args[2] {
	case "lock":
		lock(session, name, signals)
	case "campaign":
		campaign(session, name, os.Args[4], signals)
	case "observe":
		for answer := range concurrency.NewElection(session, name).Observe(context.Background()) {
			fmt.Printf("leader %s %s\n", answer.Kvs[0].Key, answer.Kvs[0].Value)
		}
	}
	check(session.Close())
}

func lock(session *concurrency.Session, name string, signals chan os.Signal) {
	background := context.Background()
	mutex := concurrency.NewMutex(session, name)
	check(mutex.Lock(background))
	found, err := session.Client().Get(background, mutex.Key())
	check(err)
	fmt.Printf("held %d %s\n", found.Kvs[0].CreateRevision, mutex.Key())
	for <-signals != syscall.SIGINT {
	}
	check(mutex.Unlock(background))
	fmt.Println("released")
}

func campaign(session *concurrency.Session, name, value string, signals chan os.Signal) {
	background := context.Background()
	election := concurrency.NewElection(session, name)
	check(election.Campaign(background, value))
	fmt.Printf("held %d %s\n", election.Rev(), election.Key())
	for <-signals == syscall.SIGUSR1 {
		check(election.Proclaim(background, value+" again"))
		fmt.Println("proclaimed")
	}
	check(election.Resign(background))
	fmt.Println("released")
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
