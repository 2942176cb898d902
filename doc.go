// Package ottla is the broker as a library: Start runs one in this process, the same code that `ottla serve` runs.
//
//	broker, err := ottla.Start(ottla.Config{DataDir: "/var/lib/app/ottla", Listen: "127.0.0.1:0"})
//	if err != nil { … }
//	defer broker.Close(ctx)
//	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()))
//
// It is the one place that knows every room and wires them: disk and network to storage and server, the controller's committed
// records to the data plane, events to the log and the metrics. It must never hold a rule of its own about records, replicas or
// requests. Several brokers can run in one process. Tests should use package ottlatest.
//
// What survives a crash is what packages storage and machine say: every acknowledged record, topic and setting.
package ottla
