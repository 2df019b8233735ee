// The first file of NVMeController.
