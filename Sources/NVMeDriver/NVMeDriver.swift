// The first file of NVMeDriver.
