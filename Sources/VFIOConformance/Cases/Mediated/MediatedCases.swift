/// G.6 to G.9: mediated devices, and those of Linux's sample drivers.
let mediatedCases: [Case] = [mediatedLifeCases, serialCardCases, frameBufferCases, bochsDisplayCases]
    .flatMap { $0 }
