package main

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// refused joins what was tried, Kafka's code, and the broker's own sentence where it gave one.
func refused(doing string, err error, message string) error {
	var broker *kerr.Error
	if errors.As(err, &broker) {
		if message == "" {
			message = broker.Description
		}
		return fmt.Errorf("%s: %s: %s", doing, broker.Message, message)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// topicRefused is refused for what was tried with a topic.
func topicRefused(doing, topic string, err error, message string) error {
	return refused(doing+" topic "+topic, err, message)
}
