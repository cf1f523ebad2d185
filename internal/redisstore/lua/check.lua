-- check KEY…: 1 if one of them is held.

for _, name in ipairs(ARGV) do
  if eachHold(key(name), function(h) return h.deadline > now end) then return 1 end
end
return 0
