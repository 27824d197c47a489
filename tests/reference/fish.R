# Prints fish.json: two models of the fish data that the folder of reference fits lacks, each by lme4 and glmmTMB.
#   Rscript fish.R > fish.json        (run by hand, never by a test; written with lme4 1.1-31, glmmTMB 1.1.5)
suppressMessages({library(lme4); library(glmmTMB); library(jsonlite)})

fish <- read.csv("data/fish.csv")
fish$id <- factor(fish$id)
fish$weather <- factor(fish$weather)

best_glmer <- function(formula) {
  starts <- c("bobyqa", "Nelder_Mead", "nloptwrap")
  fits <- lapply(starts, function(name) {
    control <- glmerControl(optimizer = name, tolPwrss = 1e-13, calc.derivs = FALSE, check.conv.singular = "ignore")
    suppressWarnings(glmer(formula, fish, family = poisson, control = control))
  })
  fits[[which.max(sapply(fits, logLik))]]
}

# standard errors from the joint Hessian; a variance of zero is left out first
errors <- function(formula) sqrt(diag(vcov(glmmTMB(formula, fish, family = poisson))$cond))

record <- function(id, formula, regular) {
  fit <- best_glmer(formula)
  second <- suppressWarnings(glmmTMB(regular, fish, family = poisson))
  se <- errors(regular)
  b <- fixef(fit)
  groups <- VarCorr(fit)
  sd <- lapply(groups, function(v) unname(attr(v, "stddev")))
  names(sd) <- names(groups)
  list(
    id = id, origin = paste("lme4", packageVersion("lme4")), source = "data/fish.csv",
    prep = list(), factors = setNames(list(), character(0)),
    formula = paste(deparse(formula), collapse = ""), family = "poisson", link = "log", nodes = 1, n_obs = nrow(fish),
    loglik = max(as.numeric(logLik(fit)), as.numeric(logLik(second))), loglik_nodes = NULL,
    information = "observed",
    fixef = lapply(names(b), function(n) list(n, b[[n]], se[[n]])),
    dispersion = setNames(list(), character(0)), sd = lapply(sd, as.list), cor = setNames(list(), character(0)),
    sd_zi = setNames(list(), character(0)),
    ranef = setNames(list(), character(0)), ranef_zi = setNames(list(), character(0)),
    fitted_head = as.list(unname(head(fitted(fit)))), singular = isSingular(fit))
}

out <- list(
  record("fish_temperature_id", fish_num ~ temperature + (1 | id), fish_num ~ temperature + (1 | id)),
  record("fish_temp_weather_zcp", fish_num ~ temperature + (temperature || weather),
         fish_num ~ temperature + (1 | weather)))
cat(toJSON(out, digits = NA, auto_unbox = TRUE, null = "null", pretty = FALSE), "\n")
