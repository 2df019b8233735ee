/// D.1 to D.6 and D.10: regions, configuration space, ioeventfds.
let regionCases: [Case] = []
