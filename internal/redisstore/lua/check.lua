-- check KEY…: 1 if one of them is held.

for _, name in ipairs(ARGV) do
  local k = key(name)
  for _, h in ipairs(holders(k)) do
    if h.deadline > now then return 1 end
  end
end
return 0
