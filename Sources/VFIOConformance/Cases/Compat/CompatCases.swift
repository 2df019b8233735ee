/// F.1 to F.3, F.7 and A.9: iommufds, devices' own nodes, and groups without an IOMMU.
let compatCases: [Case] = []
