/// E: moving devices to another host, and the logs of what they write.
let migrationCases: [Case] = [
    transitionCases, sessionCases, precopyCases, loggingCases, moveFailureCases, historicCases,
].flatMap { $0 }
