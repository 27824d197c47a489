# A persistent worker: reads tab-separated requests from standard input, answers in lines that start with "@@".
#   version PACKAGE | facts | load FOLDER ROWS | fit PACKAGE REML|ML|Laplace FORMULA

answer <- function(...) { cat(paste(c("@@", ...), collapse = "\t"), "\n", sep = ""); flush(stdout()) }
refuse <- function(e) answer_error(gsub("[\t\n]+", " ", conditionMessage(e)))
answer_error <- function(text) { cat("@@error\t", text, "\n", sep = ""); flush(stdout()) }
seventeen <- function(x) formatC(x, digits = 17, format = "g")

package_version_or_empty <- function(package)
  if (requireNamespace(package, quietly = TRUE)) as.character(packageVersion(package)) else ""

blas <- function() {
  path <- paste(extSoftVersion()[["BLAS"]], La_library())
  number <- sub(".*openblas[a-z]*-r([0-9.]+)\\.so.*", "\\1", path)
  if (!grepl("openblas", path)) return(if (grepl("mkl", path)) "MKL" else "reference")
  if (number == path) "OpenBLAS" else paste("OpenBLAS", number)
}

read_column <- function(name, kind, folder, rows) {
  file <- file.path(folder, paste0(name, ".bin"))
  if (kind == "number") return(readBin(file, "double", rows))
  codes <- readBin(file, "integer", rows, size = 4)
  structure(codes, levels = readLines(file.path(folder, paste0(name, ".levels"))), class = "factor")
}

load_data <- function(folder, rows) {
  kinds <- read.delim(file.path(folder, "columns.tsv"), header = FALSE, colClasses = "character")
  columns <- Map(function(n, k) read_column(n, k, folder, rows), kinds[[1]], kinds[[2]])
  as.data.frame(columns)
}

# the fit and its standard errors
fit_lme4 <- function(formula, data, reml) {
  fit <- lme4::lmer(formula, data, REML = reml, control = lme4::lmerControl(calc.derivs = FALSE))
  sqrt(diag(as.matrix(vcov(fit))))
  fit
}
fit_glmmTMB <- function(formula, data, reml) {
  fit <- glmmTMB::glmmTMB(formula, data, REML = reml)
  sqrt(diag(vcov(fit)$cond))
  fit
}
# binomial responses, logit link
generalized_lme4 <- function(formula, data) {
  control <- lme4::glmerControl(optimizer = "nloptwrap", calc.derivs = FALSE)
  fit <- lme4::glmer(formula, data, family = binomial, control = control)
  sqrt(diag(as.matrix(vcov(fit))))
  fit
}
generalized_glmmTMB <- function(formula, data) {
  fit <- glmmTMB::glmmTMB(formula, data, family = binomial)
  sqrt(diag(vcov(fit)$cond))
  fit
}
fitters <- list(lme4 = fit_lme4, glmmTMB = fit_glmmTMB)
generalized <- list(lme4 = generalized_lme4, glmmTMB = generalized_glmmTMB)

fit_once <- function(package, criterion, formula, data) {
  if (criterion == "Laplace") return(generalized[[package]](formula, data))
  fitters[[package]](formula, data, criterion == "REML")
}

deviance_of <- function(fit) -2 * as.numeric(logLik(fit))
sds_of <- function(package, fit) {
  parts <- if (package == "lme4") lme4::VarCorr(fit) else glmmTMB::VarCorr(fit)$cond
  residual <- if (family(fit)$family == "gaussian") sigma(fit)
  c(unlist(lapply(parts, function(v) sqrt(diag(as.matrix(v))))), residual)
}

timed_fit <- function(package, criterion, text, data) {
  formula <- as.formula(text)
  start <- as.numeric(Sys.time())
  fit <- suppressMessages(suppressWarnings(fit_once(package, criterion, formula, data)))
  seconds <- as.numeric(Sys.time()) - start
  answer(seventeen(seconds), seventeen(deviance_of(fit)), paste(seventeen(sds_of(package, fit)), collapse = ","))
}

data <- NULL
handle <- function(fields) {
  switch(fields[1],
    version = answer(package_version_or_empty(fields[2])),
    facts = answer(paste(R.version$major, R.version$minor, sep = "."), blas()),
    load = { data <<- load_data(fields[2], as.integer(fields[3])); answer("loaded") },
    fit = timed_fit(fields[2], fields[3], fields[4], data),
    stop("unknown request ", fields[1]))
}

input <- file("stdin", "r")
while (length(line <- readLines(input, n = 1)) > 0) tryCatch(handle(strsplit(line, "\t")[[1]]), error = refuse)
