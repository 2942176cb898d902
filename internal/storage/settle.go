package storage

// snapshotBytes of log without a producer snapshot are the most that recovery has to replay for the producers' sake.
const snapshotBytes = 64 << 20

// prepareCheckpoint makes the log ready for its recovery point to move: indexes in their files, epochs durable in theirs. false: the budget of epoch files is
// spent.
func (l *Log) prepareCheckpoint(budget *int, all bool) (bool, error) {
	entries, dirty := l.epochs.snapshot()
	if dirty {
		if *budget <= 0 && !all {
			return false, nil
		}
		*budget--
		if err := writeFileAtomically(l.store.cfg.FS, l.path, epochsFile, encodeEpochs(entries)); err != nil {
			return false, err
		}
		l.epochs.written(entries)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.active(); s != nil && l.failure.Load() == nil {
		if err := s.spillIndexes(false); err != nil {
			l.store.problem("write the index of "+l.tp.String()+" early; it stays in memory", err)
		}
		if l.sinceSnapshot >= snapshotBytes {
			l.writeSnapshot()
		}
	}
	return true, nil
}
