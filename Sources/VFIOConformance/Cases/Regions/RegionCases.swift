/// D.2 to D.6 and D.10: regions, configuration space, ioeventfds.
let regionCases: [Case] = [
    regionInfoCases, regionAccessCases, barEdgeCases, regionMapCases, mappingTouchCases, headerCases,
    capabilityCases, spaceCases, reportingCases, eventWriteCases,
    eventWriteEffectCases, portCases, expansionROMCases, displayCases, wordCases,
].flatMap { $0 }
