package group

import (
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"time"

	"github.com/ottla-io/ottla/internal/metadata"
	"github.com/ottla-io/ottla/internal/wire"
)

// regexInterval is the least time between two look-ups of a group's regular expressions in new metadata.
const regexInterval = 10 * time.Second

// lookUpRegexes finds the topics of a regular expression that the group did not have before, and of all that it has if there
// is new metadata.
func (b *beat) lookUpRegexes(s *step) *refusal {
	c, was, is := b.c, s.before.regex.Value, s.updated.regex.Value
	s.regexChanged = s.before.regex != s.updated.regex
	if s.regexChanged {
		_, isKnown := c.regexes[is]
		s.bump = isKnown || is == "" && was != ""
		s.use = maps.Clone(c.regexUse)
		if was != "" {
			addTo(s.use, was, -1)
		}
		if is != "" {
			addTo(s.use, is, 1)
		}
		if was != "" && s.use[was] == 0 {
			b.setRegex(was, nil)
		}
		if s.use[is] == 1 {
			if err := checkRegex(is, b.image); err != nil {
				return refuse(wire.ErrorInvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %s.", is, describeRegex(err))
			}
		}
	}
	live := &b.g.live
	refresh := len(s.use) > 0 && live.regexImage != b.image && (live.regexImage == nil || b.at.Monotonic >= live.regexAt+regexInterval)
	for _, regex := range sortedKeys(s.use) {
		known, isKnown := b.regexes[regex]
		if isKnown && !refresh {
			continue
		}
		topics := matching(b.image, regex)
		if isKnown && slices.Equal(topics, known.topics) {
			continue
		}
		b.setRegex(regex, &resolvedRegex{topics: topics, version: int64(b.image.End()), atMs: b.at.NowMs})
		s.bump = s.bump || !slices.Equal(topics, known.topics)
	}
	if refresh {
		b.succeeded = append(b.succeeded, func() { live.regexImage, live.regexAt = b.image, b.at.Monotonic })
	}
	return nil
}

func (b *beat) setRegex(regex string, resolved *resolvedRegex) {
	b.regexes = maps.Clone(b.regexes)
	if resolved == nil {
		delete(b.regexes, regex)
		b.records = append(b.records, regexTombstone(b.g.id, regex))
		return
	}
	b.regexes[regex] = *resolved
	b.records = append(b.records, regexRecord(b.g.id, regex, *resolved))
}

// maxRegexSteps bounds what a regular expression may cost. RE2's matching takes at most the size of the program times the length of
// all topics' names; whoever joins a group must not hold up all that are coordinated with it.
const maxRegexSteps = 2_000_000_000

// checkRegex finds what is wrong with a regular expression.
func checkRegex(regex string, image *metadata.Image) error {
	parsed, err := syntax.Parse(regex, syntax.Perl)
	if err != nil {
		return err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return err
	}
	names := 0
	for _, topic := range image.Topics() {
		names += len(topic.Name)
	}
	if len(program.Inst)*names > maxRegexSteps {
		return &syntax.Error{Code: syntax.ErrLarge, Expr: regex}
	}
	return nil
}

// describeRegex is what is wrong with a regular expression, in RE2's words.
func describeRegex(err error) string {
	if e, ok := err.(*syntax.Error); ok {
		return e.Code.String()
	}
	return err.Error()
}

// matching are the topics whose whole name matches, sorted.
func matching(image *metadata.Image, regex string) (topics []string) {
	pattern, err := regexp.Compile(`\A(?:` + regex + `)\z`)
	if err != nil {
		return nil // in the log, from a coordinator that took it
	}
	for _, t := range image.Topics() {
		if pattern.MatchString(t.Name) {
			topics = append(topics, t.Name)
		}
	}
	return topics
}
