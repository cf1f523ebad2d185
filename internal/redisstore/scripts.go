package redisstore

import (
	"embed"
	"slices"
	"strings"

	"github.com/redis/rueidis"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// scripts are the operations.
type scripts struct {
	lock, unlock, extend, claim, undo, leave, force *rueidis.Lua
	check, get, list, count                         *rueidis.Lua
	many                                            *rueidis.Lua
	tick, mine                                      *rueidis.Lua
}

// library is what most scripts stand on, in this order: each file uses those
// before it.
var library = []string{"keys", "line", "rules", "deadlock", "settle", "sweep"}

// newScripts puts the scripts together. What edit makes of each is what runs.
func newScripts(edit func(source string) string) *scripts {
	script := func(files ...string) *rueidis.Lua {
		var source strings.Builder
		for _, file := range append([]string{"head"}, files...) {
			text, err := luaFiles.ReadFile("lua/" + file + ".lua")
			if err != nil {
				panic(err) // the file is not in the binary
			}
			source.Write(text)
		}
		return rueidis.NewLuaScript(edit(source.String()))
	}
	clock := []string{"clock"}
	with := func(before []string, after ...string) []string {
		return slices.Concat(before, library, after)
	}
	return &scripts{
		lock:   script(with([]string{"clock", "limits", "lock_fast"}, "lock_limits", "lock")...),
		unlock: script(with([]string{"unlock_fast", "clock"}, "unlock")...),
		extend: script(with(clock, "extend")...),
		claim:  script("clock", "keys", "line", "claim", "claim_end"),
		undo:   script(with(clock, "undo")...),
		leave:  script(with(clock, "claim", "leave")...),
		force:  script(with(clock, "force")...),
		check:  script("clock", "keys", "check"),
		get:    script("clock", "keys", "line", "show", "get"),
		list:   script("clock", "keys", "line", "show", "list"),
		count:  script("count"),
		tick:   script(with(clock, "tick")...),
		mine:   script("mine"),
		many:   script("clock", "limits", "many"),
	}
}

var theScripts = newScripts(func(source string) string { return source })
