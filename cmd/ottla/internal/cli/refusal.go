package cli

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Refused is the error of what a broker refused: it joins what was tried, Kafka's code, and the broker's own sentence where it gave one.
func Refused(doing string, err error, message string) error {
	var broker *kerr.Error
	if errors.As(err, &broker) {
		if message == "" {
			message = broker.Description
		}
		return fmt.Errorf("%s: %s: %s", doing, broker.Message, message)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// TopicRefused is Refused for what was tried with a topic.
func TopicRefused(doing, topic string, err error, message string) error {
	return Refused(doing+" topic "+topic, err, message)
}
