package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ottla-io/ottla/internal/clusterfile"
)

// profile is what a cluster is reached by. Its fields are the flags that they stand for.
type profile struct {
	Bootstrap string `json:"bootstrap,omitempty" yaml:"bootstrap,omitempty"`
	Admin     string `json:"admin,omitempty" yaml:"admin,omitempty"`
	Timeout   string `json:"timeout,omitempty" yaml:"timeout,omitempty"`
}

// profileFile is $XDG_CONFIG_HOME/ottla/config.yaml.
type profileFile struct {
	Current  string             `yaml:"current,omitempty"`
	Profiles map[string]profile `yaml:"profiles,omitempty"`
}

// connectionFlags are the flags of client commands that a variable and a profile may set.
var connectionFlags = []struct {
	flag, variable string
	of             func(profile) string
}{
	{"bootstrap", "OTTLA_BOOTSTRAP", func(p profile) string { return p.Bootstrap }},
	{"addr", "OTTLA_BOOTSTRAP", func(p profile) string { return p.Bootstrap }},
	{"admin", "OTTLA_ADMIN", func(p profile) string { return p.Admin }},
	{"timeout", "", func(p profile) string { return p.Timeout }},
}

// ownConnection marks a command among its annotations.
const ownConnection = "ottla.own-connection"

// OwnConnection says that the flags of a command which are called as those above mean something else, such as where a broker is to listen.
func OwnConnection(cmd *cobra.Command) { cmd.Annotations = map[string]string{ownConnection: ""} }

// ProfileHelp tells, as a part of help texts, where a broker is reached.
const ProfileHelp = "Where a broker is reached comes from the flags, else from OTTLA_BOOTSTRAP and OTTLA_ADMIN, else from the profile that --profile,\n" +
	"OTTLA_PROFILE or 'ottla profile use' names, else it is this machine. Profiles are in $XDG_CONFIG_HOME/ottla/config.yaml, or\n" +
	"~/.config/ottla/config.yaml."

// resolveConnection gives the connection flags of a command that the command line does not set the value of the next source that has one.
func resolveConnection(cmd *cobra.Command) error {
	if _, own := cmd.Annotations[ownConnection]; own {
		return nil
	}
	var unset []int
	for i, c := range connectionFlags {
		if flag := cmd.Flags().Lookup(c.flag); flag != nil && !flag.Changed {
			unset = append(unset, i)
		}
	}
	if len(unset) == 0 {
		return nil // a broken file is no matter to a command that needs nothing of it
	}
	chosen, err := chosenProfile(cmd.Flags())
	if err != nil {
		return err
	}
	for _, i := range unset {
		c := connectionFlags[i]
		from, value := c.variable, os.Getenv(c.variable)
		if value == "" {
			from, value = "profile", c.of(chosen)
		}
		if value == "" {
			continue
		}
		if err := cmd.Flags().Set(c.flag, value); err != nil {
			return fmt.Errorf("%s from %s: %w", c.flag, from, err)
		}
	}
	return nil
}

// chosenProfile is the profile that the flag, the variable or the file names, or an empty one.
func chosenProfile(flags *pflag.FlagSet) (profile, error) {
	file, path, err := loadProfiles()
	if err != nil {
		return profile{}, err
	}
	name := cmp.Or(os.Getenv("OTTLA_PROFILE"), file.Current)
	if flag := flags.Lookup("profile"); flag != nil && flag.Changed {
		name = flag.Value.String()
	}
	if name == "" {
		return profile{}, nil
	}
	chosen, ok := file.Profiles[name]
	if !ok {
		return profile{}, noSuchProfile(name, path, file)
	}
	return chosen, nil
}

func noSuchProfile(name, path string, file profileFile) error {
	if near, ok := Nearest(name, slices.Sorted(maps.Keys(file.Profiles))); ok {
		return fmt.Errorf("there is no profile %s in %s: did you mean %s?", name, path, near)
	}
	return fmt.Errorf("there is no profile %s in %s; 'ottla profile set %s --bootstrap HOST:PORT' makes one", name, path, name)
}

func profilePath() (string, error) {
	if dir := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) { // the specification: a relative one is ignored
		return filepath.Join(dir, "ottla", "config.yaml"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the profiles: %w; set XDG_CONFIG_HOME", err)
	}
	return filepath.Join(home, ".config", "ottla", "config.yaml"), nil
}

// loadProfiles reads the file; none, or no home to keep it in, is an empty one.
func loadProfiles() (file profileFile, path string, err error) {
	if path, err = profilePath(); err != nil {
		return profileFile{}, "", nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return profileFile{}, path, nil
	}
	if err != nil {
		return profileFile{}, path, fmt.Errorf("read the profiles: %w", err)
	}
	if err := clusterfile.DecodeStrict(text, &file); err != nil {
		return profileFile{}, path, fmt.Errorf("the profiles in %s: %w", path, err)
	}
	return file, path, nil
}

// save replaces the file at once, so that nobody reads half of it.
func (f *profileFile) save(path string) error {
	text, err := marshalYAML(f)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("write the profiles: %w", err)
	}
	return nil
}

// changeProfiles reads the file, has it changed, and writes it.
func changeProfiles(change func(file *profileFile, path string) error) error {
	path, err := profilePath()
	if err != nil {
		return err
	}
	file, _, err := loadProfiles()
	if err != nil {
		return err
	}
	if file.Profiles == nil {
		file.Profiles = map[string]profile{}
	}
	if err := change(&file, path); err != nil {
		return err
	}
	return file.save(path)
}

// ProfileCommand is 'ottla profile'.
func ProfileCommand() *cobra.Command {
	cmd := Parent("profile", "Name the clusters that you work with")
	cmd.Long = "Name the clusters that you work with.\n\n" + ProfileHelp
	set := newProfileSet()
	OwnConnection(set)
	CompleteArguments(set, CompleteNothing)
	cmd.AddCommand(newProfileList(), set)
	for _, named := range []*cobra.Command{newProfileShow(), newProfileUse(), newProfileRemove()} {
		CompleteArguments(named, completeProfiles, CompleteNothing)
		cmd.AddCommand(named)
	}
	return cmd
}

func completeProfiles(*cobra.Command, []string) []string {
	file, _, err := loadProfiles()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(file.Profiles))
}

type shownProfile struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	profile
}

func newProfileList() *cobra.Command {
	var output OutputFormat
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List profiles",
		Args:    cobra.NoArgs,
		Example: "  ottla profile list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, _, err := loadProfiles()
			if err != nil {
				return err
			}
			var shown []shownProfile
			rows := [][]string{{"", "PROFILE", "BOOTSTRAP", "ADMIN", "TIMEOUT"}}
			for _, name := range slices.Sorted(maps.Keys(file.Profiles)) {
				p, mark := file.Profiles[name], ""
				if name == file.Current {
					mark = "*"
				}
				shown = append(shown, shownProfile{name, mark != "", p})
				rows = append(rows, []string{mark, name, OrDash(p.Bootstrap), OrDash(p.Admin), OrDash(p.Timeout)})
			}
			return output.ShowTable(cmd, shown, rows)
		},
	}
	output.Register(cmd)
	return cmd
}

func newProfileShow() *cobra.Command {
	var output OutputFormat
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show a profile",
		Args:    cobra.ExactArgs(1),
		Example: "  ottla profile show production -o yaml",
		RunE: func(cmd *cobra.Command, names []string) error {
			file, path, err := loadProfiles()
			if err != nil {
				return err
			}
			p, ok := file.Profiles[names[0]]
			if !ok {
				return noSuchProfile(names[0], path, file)
			}
			return output.ShowTable(cmd, shownProfile{names[0], names[0] == file.Current, p},
				[][]string{{"SETTING", "VALUE"}, {"bootstrap", OrDash(p.Bootstrap)}, {"admin", OrDash(p.Admin)}, {"timeout", OrDash(p.Timeout)}})
		},
	}
	output.Register(cmd)
	return cmd
}

func newProfileSet() *cobra.Command {
	var given profile
	var use bool
	cmd := &cobra.Command{
		Use:     "set NAME",
		Short:   "Make a profile, or change what the flags name of it",
		Args:    cobra.ExactArgs(1),
		Example: "  ottla profile set production --bootstrap kafka-1.example.org:9092,kafka-2.example.org:9092 --timeout 30s\n  ottla profile set local --bootstrap 127.0.0.1:9092 --admin 127.0.0.1:9642 --use",
		RunE: func(cmd *cobra.Command, names []string) error {
			if given.Timeout != "" {
				if d, err := time.ParseDuration(given.Timeout); err != nil || d <= 0 {
					return fmt.Errorf("--timeout %s: want a duration such as 30s", given.Timeout)
				}
			}
			return changeProfiles(func(file *profileFile, path string) error {
				p, existed := file.Profiles[names[0]]
				for flag, field := range map[string][2]*string{"bootstrap": {&p.Bootstrap, &given.Bootstrap}, "admin": {&p.Admin, &given.Admin}, "timeout": {&p.Timeout, &given.Timeout}} {
					if cmd.Flags().Changed(flag) {
						*field[0] = *field[1]
					}
				}
				file.Profiles[names[0]] = p
				if use {
					file.Current = names[0]
				}
				what := "made"
				if existed {
					what = "changed"
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s profile %s in %s\n", what, names[0], path)
				return err
			})
		},
	}
	cmd.Flags().StringVarP(&given.Bootstrap, "bootstrap", "b", "", "HOST:PORT of one or more brokers, with commas")
	cmd.Flags().StringVar(&given.Admin, "admin", "", "HOST:PORT of the broker's admin listener")
	cmd.Flags().StringVar(&given.Timeout, "timeout", "", "give up when the broker has not answered for this long, such as 30s")
	cmd.Flags().BoolVar(&use, "use", false, "use it from now on where no other is named")
	cmd.MarkFlagsOneRequired("bootstrap", "admin", "timeout", "use")
	return cmd
}

func newProfileUse() *cobra.Command {
	return &cobra.Command{
		Use:     "use NAME",
		Short:   "Use a profile where no other is named",
		Args:    cobra.ExactArgs(1),
		Example: "  ottla profile use production",
		RunE: func(cmd *cobra.Command, names []string) error {
			return changeProfiles(func(file *profileFile, path string) error {
				if _, ok := file.Profiles[names[0]]; !ok {
					return noSuchProfile(names[0], path, *file)
				}
				file.Current = names[0]
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "profile %s is used from now on\n", names[0])
				return err
			})
		},
	}
}

func newProfileRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Forget a profile",
		Args:    cobra.ExactArgs(1),
		Example: "  ottla profile remove production",
		RunE: func(cmd *cobra.Command, names []string) error {
			return changeProfiles(func(file *profileFile, path string) error {
				if _, ok := file.Profiles[names[0]]; !ok {
					return noSuchProfile(names[0], path, *file)
				}
				delete(file.Profiles, names[0])
				if file.Current == names[0] {
					file.Current = ""
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "removed profile %s\n", names[0])
				return err
			})
		},
	}
}
