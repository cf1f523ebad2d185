-- get KEY: its state.

return show(key(ARGV[1]))
